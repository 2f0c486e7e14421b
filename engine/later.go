package engine

// A few hundred bytes may inflate to a megabyte, and one read brings hundreds of
// such messages. So that their peers don't keep the others of a loop waiting, a loop
// inflates so much and no more before it has looked at its other connections. What
// is left of a read then waits like that of a connection that is paused
// (flagTurnPause), and goes on in a turn of its own, one connection in each.

// inflateBudget is how much a loop inflates at a stretch, in bytes; the message that
// goes over it is the last. It takes about 12 ms.
const inflateBudget = 4 << 20

// isSpent says whether the loop has inflated enough for now.
func (c *Conn) isSpent() bool {
	return c.loop.flate.spent >= inflateBudget && c.phase == phaseOpen && c.deflation() != nil
}

// goOnLater has the connection's frames wait for a turn of their own.
func (c *Conn) goOnLater() {
	if c.flags&flagTurnPause != 0 {
		return
	}
	if c.pauseFor(flagTurnPause); c.flags&flagTurnPause != 0 {
		c.loop.flate.later = append(c.loop.flate.later, c)
	}
}

// goOn gives the connection that has waited longest its turn, at a wakeup.
func (l *loop) goOn() {
	f := &l.flate
	f.spent = 0
	for len(f.later) > 0 {
		c := f.later[0]
		f.later[0] = nil
		if f.later = f.later[1:]; len(f.later) == 0 {
			f.later = nil
		}
		if c.flags&flagTurnPause != 0 && c.phase < phaseDoomed {
			c.resumeFor(flagTurnPause)
			return
		}
	}
}
