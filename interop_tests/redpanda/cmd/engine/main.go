// Command engine is Redpanda Connect without most of its connectors: the stream engine, its own loader of RPC
// plugins, and what a test needs around them (files, standard streams, generate, bloblang, NATS).
//
//	engine run --rpc-plugins 'GLOB' PIPELINE.yaml
//
// The flag is spelled as in the redpanda-connect binary, which alone has it: the community build has none.
package main

import (
	"context"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/nats"
	"github.com/redpanda-data/connect/v4/public/plugin/go/rpcnloader"
	"github.com/urfave/cli/v2"
)

const flag = "rpc-plugins"

func main() {
	service.RunCLI(
		context.Background(),
		service.CLIOptSetBinaryName("engine"),
		service.CLIOptCustomRunFlags(
			[]cli.Flag{&cli.StringSliceFlag{Name: flag, Usage: "Descriptors of the plugins to load; globs are allowed."}},
			func(given *cli.Context) error {
				files, environment := given.StringSlice(flag), service.GlobalEnvironment()
				return rpcnloader.DiscoverAndRegisterPlugins(service.OSFS(), environment, files)
			},
		),
	)
}
