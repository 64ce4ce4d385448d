// Command caller is a go-plugin host that times its calls. It starts one plugin and obeys one order a line:
//
//	caller [-tls none|auto|unverified] [-multiplex] COMMAND…
//
//	{"op": "unary", "threads": n, "count": n}  Get a small value, count times from each of so many goroutines
//	{"op": "large", "count": n, "bytes": n}    Put a value of that size and Get it back
//	{"op": "quit"}
//
// Each order, and the start before them all, is answered by one line: latencies of all calls and the time that they
// took together, in seconds, and the plugin's process id; or the error. The store is that of go-plugin's examples,
// whatever it is dispensed as. With -tls unverified the plugin brings its own certificate and nobody checks it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"goplugin/interop/internal/kvv1"
)

const (
	callLimit = 20 * time.Second
	key       = "key"
)

var small = bytes.Repeat([]byte("x"), 100)

type order struct {
	Op      string `json:"op"`
	Threads int    `json:"threads"`
	Count   int    `json:"count"`
	Bytes   int    `json:"bytes"`
}

type answer struct {
	PID       int       `json:"pid"`
	Latencies []float64 `json:"latencies"`
	Seconds   float64   `json:"seconds"`
	Error     string    `json:"error"`
}

type store struct{ plugin.NetRPCUnsupportedPlugin }

func (store) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (store) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return kvv1.NewKVClient(c), nil
}

func main() {
	mode := flag.String("tls", "none", "none, auto or unverified")
	multiplex := flag.Bool("multiplex", false, "carry all connections over one")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: caller [-tls none|auto|unverified] [-multiplex] COMMAND…")
		os.Exit(2)
	}
	config := &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "BASIC_PLUGIN", MagicCookieValue: "hello",
		},
		Plugins:             plugin.PluginSet{"kv_grpc": store{}},
		Cmd:                 exec.Command(flag.Arg(0), flag.Args()[1:]...),
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:            *mode == "auto",
		GRPCBrokerMultiplex: *multiplex,
		Logger:              hclog.NewNullLogger(),
		Stderr:              os.Stderr,
		StartTimeout:        callLimit,
	}
	if *mode == "unverified" {
		config.TLSConfig = &tls.Config{InsecureSkipVerify: true}
	}
	client := plugin.NewClient(config)
	defer client.Kill()

	answers := json.NewEncoder(os.Stdout)
	began := time.Now()
	kv, err := dispense(client)
	if err == nil {
		err = put(kv, small)
	}
	first := answer{Seconds: time.Since(began).Seconds()}
	if err != nil {
		first.Error = err.Error()
	} else if first.PID, err = strconv.Atoi(client.ID()); err != nil {
		first.Error = err.Error()
	}
	_ = answers.Encode(first)

	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		var given order
		if err := json.Unmarshal(input.Bytes(), &given); err != nil {
			_ = answers.Encode(answer{Error: err.Error()})
			continue
		}
		switch given.Op {
		case "unary":
			_ = answers.Encode(crowd(kv, given.Threads, given.Count))
		case "large":
			_ = answers.Encode(large(kv, given.Count, given.Bytes))
		case "quit":
			return
		default:
			_ = answers.Encode(answer{Error: "no such op: " + given.Op})
		}
	}
}

func dispense(client *plugin.Client) (kvv1.KVClient, error) {
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	dispensed, err := protocol.Dispense("kv_grpc")
	if err != nil {
		return nil, err
	}
	return dispensed.(kvv1.KVClient), nil
}

func put(kv kvv1.KVClient, value []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	_, err := kv.Put(ctx, &kvv1.PutRequest{Key: key, Value: value})
	return err
}

func get(kv kvv1.KVClient, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	got, err := kv.Get(ctx, &kvv1.GetRequest{Key: key})
	if err == nil && len(got.Value) < size { // the example plugin in Go adds a remark
		err = fmt.Errorf("got %d bytes, put %d", len(got.Value), size)
	}
	return err
}

func crowd(kv kvv1.KVClient, threads, count int) answer {
	own := make([]answer, threads)
	var all sync.WaitGroup
	began := time.Now()
	for i := range own {
		all.Add(1)
		go func() {
			defer all.Done()
			own[i] = timed(count, func() error { return get(kv, len(small)) })
		}()
	}
	all.Wait()
	total := answer{Seconds: time.Since(began).Seconds()}
	for _, one := range own {
		total.Latencies = append(total.Latencies, one.Latencies...)
		total.Error += one.Error
	}
	return total
}

func large(kv kvv1.KVClient, count, size int) answer {
	value := bytes.Repeat([]byte("x"), size)
	began := time.Now()
	total := timed(count, func() error {
		if err := put(kv, value); err != nil {
			return err
		}
		return get(kv, size)
	})
	total.Seconds = time.Since(began).Seconds()
	if err := put(kv, small); err != nil {
		total.Error += err.Error()
	}
	return total
}

func timed(count int, call func() error) answer {
	var done answer
	for range count {
		sent := time.Now()
		if err := call(); err != nil {
			done.Error = err.Error()
			return done
		}
		done.Latencies = append(done.Latencies, time.Since(sent).Seconds())
	}
	return done
}
