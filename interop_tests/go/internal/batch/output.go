package batch

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"goplugin/interop/internal/batchv1"
)

// Output is the sink of a pipeline.
type Output struct {
	*client[batchv1.BatchOutputServiceClient]
	// MaxInFlight and Policy are what the output asked for; its user keeps to them.
	MaxInFlight int
	Policy      *batchv1.BatchPolicy
}

// OpenOutput starts an output, configures and connects it.
func OpenOutput(ctx context.Context, how Launch, config map[string]any) (*Output, error) {
	stub := func(connection grpc.ClientConnInterface) batchv1.BatchOutputServiceClient {
		return batchv1.NewBatchOutputServiceClient(connection)
	}
	client, err := start(how, "output", stub)
	if err != nil {
		return nil, err
	}
	output := &Output{client: client}
	if err := output.open(ctx, config); err != nil {
		return nil, client.stop(err)
	}
	return output, nil
}

func (o *Output) open(ctx context.Context, config map[string]any) error {
	value, err := toWireValue(config)
	if err != nil {
		return err
	}
	answer, err := o.stub.Init(ctx, &batchv1.BatchOutputInitRequest{Config: value})
	if err := said(answer, err); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	o.MaxInFlight, o.Policy = int(answer.GetMaxInFlight()), answer.GetBatchPolicy()
	return o.connect(ctx)
}

func (o *Output) connect(ctx context.Context) error {
	return connect(ctx, func() error {
		return said(o.stub.Connect(ctx, &batchv1.BatchOutputConnectRequest{}))
	})
}

// Send returns once a batch is delivered, or has failed.
func (o *Output) Send(ctx context.Context, batch Batch) error {
	wire, err := batch.ToWire()
	if err != nil {
		return err
	}
	for {
		err := said(o.stub.Send(ctx, &batchv1.BatchOutputSendRequest{Batch: wire}))
		if !errors.Is(err, ErrNotConnected) {
			return err
		}
		if err := o.connect(ctx); err != nil {
			return err
		}
	}
}

// Close ends the output's work and its process.
func (o *Output) Close(ctx context.Context) error {
	return o.stop(said(o.stub.Close(ctx, &batchv1.BatchOutputCloseRequest{})))
}
