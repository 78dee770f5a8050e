package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"neutrino"
	"neutrino/wholefile"
)

// TraceName is the file in the server's state_path that remembers the store.
const TraceName = "store.json"

// Trace is what the server remembers of its store outside the database: which
// store it is and a revision that it has reached. A database that is behind the
// trace is not the one that served last.
type Trace struct {
	// Database is the file as it was configured then.
	Database string `json:"database"`
	neutrino.StorePosition
}

// ReadTrace reads a trace; without a file it is the zero one. A file that cannot
// be read is an error: it may be all that is left of a store.
func ReadTrace(_ context.Context, path string) (Trace, error) {
	var t Trace
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("identity: %w", err)
	}
	if err := json.Unmarshal(b, &t); err != nil || !t.Named() {
		return t, fmt.Errorf("identity: %s is damaged (%v): it remembers which store this server has; "+
			"write it anew with neutrino server init --force when the database is the right one", path, err)
	}
	return t, nil
}

// WriteTrace replaces the trace as a whole: after a crash it is the old or the new.
func WriteTrace(ctx context.Context, path string, t Trace) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := wholefile.Replace(ctx, path, append(b, '\n')); err != nil {
		return fmt.Errorf("identity: remember the store: %w", err)
	}
	return nil
}
