package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"neutrino"
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
func WriteTrace(_ context.Context, path string, t Trace) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if err := replace(path, append(b, '\n')); err != nil {
		return fmt.Errorf("identity: remember the store: %w", err)
	}
	return nil
}

// replace writes beside the file first. A crash leaves that file, which the next
// time overwrites.
func replace(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
