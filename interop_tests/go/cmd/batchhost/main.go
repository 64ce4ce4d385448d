// Command batchhost runs a pipeline of batch plugins over go-plugin, as a JSON document on stdin says, and prints
// one JSON document: how tests see our plugins from a host in Go. One batch at a time, so that the report is in order.
//
// # Input
//
// Unknown keys are refused. A plugin is an object: argv, and config as a JSON object, whose numbers without a point
// are integers.
//
//	input       plugin          where batches come from, or else
//	batches     [[message]]     the batches themselves; a message is protobuf's JSON of one
//	processors  [plugin]
//	output      plugin          where they go; without one they are delivered once they are processed
//	auto_mtls   bool
//	replays     int             how often a failed batch of an input that asks for it is sent again
//	timeout_ms  number          the limit of everything
//
// # Output
//
//	error    string    what ended the run early, or ""
//	plugins  [object]  in the order above: name; argv[0]; auto_replay_nacks; max_in_flight; batch_policy;
//	                   close, the error of its Close or ""; exit_code, or -1 where a signal ended it
//	settled  [object]  each batch: read and sent as [message] and [[message]]; attempts; error, "" if delivered
//
// The exit status is 0 whenever a document was printed, 3 if the input was no good.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"goplugin/interop/internal/batch"
	"goplugin/interop/internal/batchv1"
)

type order struct {
	Input      *pluginOrder        `json:"input"`
	Batches    [][]json.RawMessage `json:"batches"`
	Processors []*pluginOrder      `json:"processors"`
	Output     *pluginOrder        `json:"output"`
	AutoMTLS   bool                `json:"auto_mtls"`
	Replays    int                 `json:"replays"`
	TimeoutMS  int                 `json:"timeout_ms"`
}

type pluginOrder struct {
	Argv   []string       `json:"argv"`
	Config map[string]any `json:"config"`
}

type report struct {
	Error   string         `json:"error"`
	Plugins []pluginReport `json:"plugins"`
	Settled []settled      `json:"settled"`
}

type pluginReport struct {
	Name            string          `json:"name"`
	AutoReplayNacks bool            `json:"auto_replay_nacks"`
	MaxInFlight     int             `json:"max_in_flight"`
	BatchPolicy     json.RawMessage `json:"batch_policy"`
	Close           string          `json:"close"`
	ExitCode        int             `json:"exit_code"`
}

type settled struct {
	Read     []json.RawMessage   `json:"read"`
	Sent     [][]json.RawMessage `json:"sent"`
	Attempts int                 `json:"attempts"`
	Error    string              `json:"error"`
}

func main() {
	order := order{TimeoutMS: 60_000}
	input := json.NewDecoder(os.Stdin)
	input.DisallowUnknownFields()
	input.UseNumber()
	if err := input.Decode(&order); err != nil {
		refuse(err)
	}
	batches, err := order.batches()
	if err != nil {
		refuse(err)
	}
	report := run(&order, batches)
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fmt.Fprintf(os.Stderr, "batchhost: %v\n", err)
		os.Exit(1)
	}
}

func refuse(err error) {
	fmt.Fprintf(os.Stderr, "batchhost: %v\n", err)
	os.Exit(3)
}

func (o *order) limit() time.Duration {
	return time.Duration(o.TimeoutMS) * time.Millisecond
}

// batches reads the batches that the order itself holds.
func (o *order) batches() ([]batch.Batch, error) {
	if (o.Input == nil) == (o.Batches == nil) {
		return nil, fmt.Errorf("either input or batches")
	}
	var read []batch.Batch
	for _, given := range o.Batches {
		wire := &batchv1.MessageBatch{}
		for _, text := range given {
			message := &batchv1.Message{}
			if err := protojson.Unmarshal(text, message); err != nil {
				return nil, err
			}
			wire.Messages = append(wire.Messages, message)
		}
		one, err := batch.FromWire(wire)
		if err != nil {
			return nil, err
		}
		read = append(read, one)
	}
	return read, nil
}

// config is what the plugin gets: numbers are integers unless they have a point.
func (p *pluginOrder) config() map[string]any {
	config, _ := plain(p.Config).(map[string]any)
	return config
}

func plain(value any) any {
	switch value := value.(type) {
	case json.Number:
		if integer, err := value.Int64(); err == nil {
			return integer
		}
		float, _ := value.Float64() // JSON has no other numbers
		return float
	case []any:
		for number, item := range value {
			value[number] = plain(item)
		}
	case map[string]any:
		for name, item := range value {
			value[name] = plain(item)
		}
	}
	return value
}

// shown is a batch as the report has it.
func shown(one batch.Batch) ([]json.RawMessage, error) {
	wire, err := one.ToWire()
	if err != nil {
		return nil, err
	}
	messages := []json.RawMessage{}
	for _, message := range wire.GetMessages() {
		text, err := protojson.Marshal(message)
		if err != nil {
			return nil, err
		}
		messages = append(messages, text)
	}
	return messages, nil
}
