package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"goplugin/interop/internal/batchv1"
)

// What a plugin may answer beside an error of its own.
var (
	ErrNotConnected = errors.New("not connected")
	ErrEndOfInput   = errors.New("end of input")
)

// BackOff is an error after which the next attempt should wait.
type BackOff struct {
	Message string
	Wait    time.Duration
}

func (b *BackOff) Error() string { return b.Message }

const reconnectAfter = 50 * time.Millisecond // where a plugin names no time of its own

func fromWireError(wire *batchv1.Error) error {
	switch detail := wire.GetDetail().(type) {
	case *batchv1.Error_Backoff:
		return &BackOff{wire.GetMessage(), detail.Backoff.AsDuration()}
	case *batchv1.Error_NotConnected_:
		return fmt.Errorf("%w: %s", ErrNotConnected, wire.GetMessage())
	case *batchv1.Error_EndOfInput_:
		return ErrEndOfInput
	}
	if message := wire.GetMessage(); message != "" {
		return errors.New(message)
	}
	return nil
}

func toWireError(err error) *batchv1.Error {
	if err == nil {
		return nil
	}
	wire := &batchv1.Error{Message: err.Error()}
	var backOff *BackOff
	switch {
	case errors.As(err, &backOff):
		wire.Detail = &batchv1.Error_Backoff{Backoff: durationpb.New(backOff.Wait)}
	case errors.Is(err, ErrNotConnected):
		wire.Detail = &batchv1.Error_NotConnected_{NotConnected: &batchv1.Error_NotConnected{}}
	case errors.Is(err, ErrEndOfInput):
		wire.Detail = &batchv1.Error_EndOfInput_{EndOfInput: &batchv1.Error_EndOfInput{}}
	}
	return wire
}

// said is what a call came to: the transport's error, or the one in the answer.
func said(answer interface{ GetError() *batchv1.Error }, err error) error {
	if err != nil {
		return err
	}
	return fromWireError(answer.GetError())
}

// connect calls until it succeeds; only NotConnected and a backoff are worth another attempt.
func connect(ctx context.Context, attempt func() error) error {
	for {
		err := attempt()
		wait := reconnectAfter
		var backOff *BackOff
		switch {
		case errors.As(err, &backOff):
			wait = backOff.Wait
		case !errors.Is(err, ErrNotConnected):
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last attempt to connect said: %w", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}
