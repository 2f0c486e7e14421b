package bench

// Summary is what the text report of a job says first that is not about messages, in
// place of the figures of messages.
type Summary struct {
	Lines   []string `json:"lines"`
	Latency string   `json:"latency"` // what Result.Latency is the time of
	Lag     string   `json:"lag"`     // and Result.Lag
}

// summary writes the report of such a job.
func (t *textReport) summary(r *Result) {
	for _, line := range r.Summary.Lines {
		t.line("%s", line)
	}
	t.line("")
	t.times("handshake", r.Handshake)
	if r.Storm != nil {
		t.times("refusal", r.Storm.Refusal)
		t.times("closing", r.Storm.Closing)
	}
	t.times(r.Summary.Latency, r.Latency)
	t.times(r.Summary.Lag, r.Lag)
	t.line("client      %.2f processors of %d, %d loops, %.1f MB", r.Client.Cores, r.Client.Allowed, r.Client.Loops, float64(r.Client.Memory)/1e6)
	if u := r.Server; u != nil {
		t.line("server      %.2f processors, %.1f MB (process %d)", u.Cores, float64(u.Memory)/1e6, u.PID)
	}
	t.reasons("refused", r.Refused)
	if r.Idle == nil { // else a table has them
		t.reasons("ended", r.Ended)
	}
}
