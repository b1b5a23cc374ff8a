// Command signalbox reacts to what the network says: see README.md.
package main

import (
	"os"

	"signalbox/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
