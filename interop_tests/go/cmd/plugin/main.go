// Command plugin is a go-plugin plugin that serves Probe and KV, as any Go plugin does: over a unix socket.
//
//	-cookie-key, -cookie-value  the magic cookie (INTEROP_PLUGIN=hello; INTEROP_COOKIE_KEY and _VALUE)
//	-versions 1,2               the protocol versions served (1; INTEROP_VERSIONS)
//	-max-message-bytes N        the largest message taken or sent (grpc-go's own limits)
//	-tls FOLDER                 TLSProvider, with that folder's certificates; see settings.TLS
//	-test-mode                  no cookie, no line: prints a reattach record as JSON and serves until killed
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"os"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"goplugin/interop/internal/probe"
	"goplugin/interop/internal/settings"
)

func main() {
	parse := settings.Flags("INTEROP_PLUGIN", "hello")
	limit := flag.Int("max-message-bytes", 0, "the largest message taken or sent; 0 keeps grpc-go's limits")
	certificates := flag.String("tls", "", "a folder of certificates for TLS of one's own")
	testMode := flag.Bool("test-mode", false, "serve for reattachment and print the record")
	chosen := parse()

	logger := settings.Logger(probe.PluginName)
	config := &plugin.ServeConfig{
		HandshakeConfig:  chosen.Cookie,
		VersionedPlugins: chosen.Serve(probe.Plugins(logger)),
		Logger:           logger,
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			if *limit > 0 {
				options = append(options, grpc.MaxRecvMsgSize(*limit), grpc.MaxSendMsgSize(*limit))
			}
			return grpc.NewServer(options...)
		},
	}
	if *certificates != "" {
		config.TLSProvider = func() (*tls.Config, error) { return settings.TLS(*certificates) }
	}
	if *testMode {
		config.Test = testConfig()
	}
	plugin.Serve(config)
}

// testConfig prints the reattach record in the form that cmd/host takes.
func testConfig() *plugin.ServeTestConfig {
	records := make(chan *plugin.ReattachConfig, 1)
	go func() {
		record := <-records
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
			"network":  record.Addr.Network(),
			"address":  record.Addr.String(),
			"pid":      record.Pid,
			"protocol": record.Protocol,
			"version":  record.ProtocolVersion,
			"test":     record.Test,
		})
	}()
	return &plugin.ServeTestConfig{Context: context.Background(), ReattachConfigCh: records}
}
