package process

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// ParseFlags is f.Parse for a program that prints its errors itself, in one line. Who asks
// for help gets it on the output, and flag.ErrHelp comes back.
func ParseFlags(f *flag.FlagSet, args []string) error {
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(os.Stdout)
		f.Usage()
		return err
	case err != nil:
		return fmt.Errorf("%w (see -help)", err)
	}
	return nil
}
