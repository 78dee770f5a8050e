package sqlite

import (
	"context"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"neutrino/store/engine"
	"neutrino/store/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnAFile(t *testing.T) {
	enginetest.Run(t, func(ctx context.Context, dir string, keep int64) (engine.Engine, error) {
		return openOrNil(Open(ctx, Options{Path: filepath.Join(dir, "db"), Keep: keep}))
	})
}

func TestInMemory(t *testing.T) {
	enginetest.RunVolatile(t, func(ctx context.Context, _ string, keep int64) (engine.Engine, error) {
		return openOrNil(Open(ctx, Options{Path: Memory, Keep: keep}))
	})
}

func openOrNil(e *Engine, err error) (engine.Engine, error) {
	if err != nil {
		return nil, err
	}
	return e, nil
}
