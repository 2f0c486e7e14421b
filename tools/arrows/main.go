// Command arrows reports every import that breaks the layering of the module in the current folder.
//
// It reads the source rather than asking `go list`, so that files for other systems and build tags count too.
package main

import (
	"fmt"
	"os"
)

func main() {
	broken, err := check(os.DirFS("."))
	if err != nil {
		fmt.Fprintln(os.Stderr, "arrows:", err)
		os.Exit(2)
	}
	for _, b := range broken {
		fmt.Println(b)
	}
	if len(broken) > 0 {
		fmt.Printf("arrows: %d broken; the table is tools/arrows/rules.go\n", len(broken))
		os.Exit(1)
	}
}
