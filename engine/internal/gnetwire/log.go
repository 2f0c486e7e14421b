package gnetwire

import (
	"context"
	"fmt"
	"log/slog"
)

// gnetLogger gives gnet's lines to slog. gnet reports a lack of descriptors
// once per refused accept, so its errors are debug lines here: what matters of
// them reaches the log through acceptRescue, at a bounded rate.
type gnetLogger struct{ to *slog.Logger }

func (g gnetLogger) Debugf(format string, args ...any) { g.log(format, args) }
func (g gnetLogger) Infof(format string, args ...any)  { g.log(format, args) }
func (g gnetLogger) Warnf(format string, args ...any)  { g.log(format, args) }
func (g gnetLogger) Errorf(format string, args ...any) { g.log(format, args) }
func (g gnetLogger) Fatalf(format string, args ...any) {
	g.to.Error(fmt.Sprintf(format, args...), "from", "gnet")
}

func (g gnetLogger) log(format string, args []any) {
	if g.to.Enabled(context.Background(), slog.LevelDebug) {
		g.to.Debug(fmt.Sprintf(format, args...), "from", "gnet")
	}
}
