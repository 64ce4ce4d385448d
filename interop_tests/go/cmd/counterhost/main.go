// Command counterhost is go-plugin's example "bidirectional" as a host with more wishes: the plugin calls its adder
// back over the broker. It puts 1 and 41 under one key and prints what the plugin then has there.
//
// Flags: -auto-mtls and -multiplex, as in plugin.ClientConfig. The rest of the command line starts the plugin.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/examples/bidirectional/shared"
)

type adder struct{}

func (adder) Sum(a, b int64) (int64, error) { return a + b, nil }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	autoMTLS := flag.Bool("auto-mtls", false, "make certificates and verify them")
	multiplex := flag.Bool("multiplex", false, "broker over one connection")
	flag.Parse()
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:     shared.Handshake,
		Plugins:             shared.PluginMap,
		Cmd:                 exec.Command(flag.Arg(0), flag.Args()[1:]...),
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:            *autoMTLS,
		GRPCBrokerMultiplex: *multiplex,
		Logger:              hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Warn}),
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense("counter")
	if err != nil {
		return err
	}
	counter, ok := raw.(shared.Counter)
	if !ok {
		return fmt.Errorf("the plugin is no counter: %T", raw)
	}
	for _, value := range []int64{1, 41} {
		if err := counter.Put("answer", value, adder{}); err != nil {
			return err
		}
	}
	answer, err := counter.Get("answer")
	if err != nil {
		return err
	}
	fmt.Println(answer)
	return nil
}
