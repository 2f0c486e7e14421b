package gnetwire

import (
	"errors"
	"reflect"

	"github.com/panjf2000/gnet/v2"
)

// errNoLoops says that gnet's layout is not the one that loopsOf knows.
var errNoLoops = errors.New("gnetwire: this version of gnet hides its event loops: connections cannot be adopted")

// loopsOf reads the event loops out of a gnet.Engine that runs. gnet has no list of
// them for others, and choosing one by Engine.Register is not safe beside its
// acceptor. It only reads, and it refuses when a field is not where it was in gnet
// v2.10.0.
func loopsOf(gnetEngine any) ([]gnet.EventLoop, error) {
	at := reflect.ValueOf(gnetEngine)
	for _, name := range [...]string{"eng", "eventLoops", "eventLoops"} { // the engine, its load balancer, the loops
		for at.Kind() == reflect.Pointer || at.Kind() == reflect.Interface {
			at = at.Elem()
		}
		if at.Kind() != reflect.Struct {
			return nil, errNoLoops
		}
		at = at.FieldByName(name)
	}
	if at.Kind() != reflect.Slice || at.Type().Elem().Kind() != reflect.Pointer || at.Len() == 0 {
		return nil, errNoLoops
	}
	loops := make([]gnet.EventLoop, at.Len())
	for i := range loops {
		one := at.Index(i)
		loop, ok := reflect.NewAt(one.Type().Elem(), one.UnsafePointer()).Interface().(gnet.EventLoop)
		if !ok {
			return nil, errNoLoops
		}
		loops[i] = loop
	}
	return loops, nil
}
