// Package wholefile writes small files that are whole after every crash. Stations
// remember by them what they must not forget.
package wholefile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// suffix ends the name under which a file is written before it has its own.
const suffix = ".new"

// Replace makes the content that of the file, which only its owner reads. It is on the
// disk when this returns; after a crash the file is the old one or the new one. What a
// crash leaves beside it, the next Replace overwrites. One process writes a file at a
// time. The directory has to exist.
func Replace(_ context.Context, path string, content []byte) error {
	if err := write(path+suffix, content); err != nil {
		return errors.Join(err, os.Remove(path+suffix))
	}
	if err := os.Rename(path+suffix, path); err != nil {
		return errors.Join(err, os.Remove(path+suffix))
	}
	// Without it the machine may die and come back with the old name.
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func write(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
