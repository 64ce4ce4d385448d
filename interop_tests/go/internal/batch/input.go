package batch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc"

	"goplugin/interop/internal/batchv1"
)

// Input is the source of a pipeline. Not for two goroutines at once, but for Delivery.Settle.
type Input struct {
	*client[batchv1.BatchInputServiceClient]
	// Replays is whether a failed batch is to be sent again by the host instead of being nacked.
	Replays bool
}

// Delivery is a batch that the input waits to hear of.
type Delivery struct {
	Batch   Batch
	input   *Input
	id      uint64
	settled atomic.Bool
}

// OpenInput starts an input, configures and connects it.
func OpenInput(ctx context.Context, how Launch, config map[string]any) (*Input, error) {
	stub := func(connection grpc.ClientConnInterface) batchv1.BatchInputServiceClient {
		return batchv1.NewBatchInputServiceClient(connection)
	}
	client, err := start(how, "input", stub)
	if err != nil {
		return nil, err
	}
	input := &Input{client: client}
	if err := input.open(ctx, config); err != nil {
		return nil, client.stop(err)
	}
	return input, nil
}

func (i *Input) open(ctx context.Context, config map[string]any) error {
	value, err := toWireValue(config)
	if err != nil {
		return err
	}
	answer, err := i.stub.Init(ctx, &batchv1.BatchInputInitRequest{Config: value})
	if err := said(answer, err); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	i.Replays = answer.GetAutoReplayNacks()
	return i.connect(ctx)
}

func (i *Input) connect(ctx context.Context) error {
	return connect(ctx, func() error {
		return said(i.stub.Connect(ctx, &batchv1.BatchInputConnectRequest{}))
	})
}

// Read waits for the next batch; ErrEndOfInput when none will come.
func (i *Input) Read(ctx context.Context) (*Delivery, error) {
	for {
		answer, err := i.stub.ReadBatch(ctx, &batchv1.BatchInputReadRequest{})
		err = said(answer, err)
		if errors.Is(err, ErrNotConnected) {
			if err = i.connect(ctx); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		batch, err := FromWire(answer.GetBatch())
		return &Delivery{Batch: batch, input: i, id: answer.GetBatchId()}, err
	}
}

// Settle tells the input that a batch is delivered, or that it failed with err; once only.
func (d *Delivery) Settle(ctx context.Context, err error) error {
	if d.settled.Swap(true) {
		return fmt.Errorf("batch %d was settled before", d.id)
	}
	return said(d.input.stub.Ack(ctx, &batchv1.BatchInputAckRequest{BatchId: d.id, Error: toWireError(err)}))
}

// Close ends the input's work and its process.
func (i *Input) Close(ctx context.Context) error {
	return i.stop(said(i.stub.Close(ctx, &batchv1.BatchInputCloseRequest{})))
}
