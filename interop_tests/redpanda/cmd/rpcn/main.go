// Command rpcn is a plugin of each kind on Redpanda's own SDK for Go, started as Redpanda Connect starts them.
//
//	rpcn input       counts: `count` messages in batches of `batch`, the text `prefix` and a number each
//	rpcn processor   upper case; `fail_on` fails a batch that has that message, `exit_on` ends the process with 3
//	rpcn output      appends each message as a line to the file `path`
//
// `journal`, a file, gets a line for every call of the SDK that changes something: what a host, or the SDK, really did.
package main

import (
	"log"
	"os"

	"github.com/redpanda-data/connect/v4/public/plugin/go/rpcn"
)

func main() {
	kinds := map[string]func(){
		"input":     func() { rpcn.InputMain(newCounter) },
		"processor": func() { rpcn.ProcessorMain(newUpper) },
		"output":    func() { rpcn.OutputMain(newLines) },
	}
	if len(os.Args) != 2 || kinds[os.Args[1]] == nil {
		log.Fatal("usage: rpcn input|processor|output")
	}
	kinds[os.Args[1]]()
}

// note appends a line to the journal, if there is one.
func note(journal, line string) error {
	if journal == "" {
		return nil
	}
	return appendTo(journal, line+"\n")
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(text); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
