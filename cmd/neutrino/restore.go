package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
)

// companions are the files beside a database that belong to it.
var companions = [...]string{"", "-wal", "-shm", "-acked"}

// restore puts a whole backup in the place of the database, which is kept under the
// name that it returns, "" when there was none. The copy is signed before it has the
// database's name. Cut off between the two names, this leaves no database, which a
// server refuses; both files are there then, and it can be done again.
func (d database) restore(ctx context.Context, backup string) (aside string, err error) {
	if _, err := sqlite.Check(ctx, backup); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(d.file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", fmt.Errorf("%s is in use: stop the server first: %w", d.file, err)
	}
	t, err := identity.ReadTrace(ctx, d.trace)
	if err != nil {
		return "", err
	}
	next := fmt.Sprintf("%s.restore-%d", d.file, os.Getpid())
	defer func() {
		for _, suffix := range append(companions[:], ".lock") {
			if e := os.Remove(next + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}()
	if err := copyFile(backup, next); err != nil {
		return "", err
	}
	t, err = signed(ctx, next, d.file, t)
	if err != nil {
		return "", err
	}
	if aside, err = d.putAside(); err != nil {
		return aside, err
	}
	for _, suffix := range companions {
		if err := os.Rename(next+suffix, d.file+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return aside, err
		}
	}
	return aside, identity.WriteTrace(ctx, d.trace, t)
}

// signed begins a new life of the copy, which follows that of the trace.
func signed(ctx context.Context, file, database string, t identity.Trace) (_ identity.Trace, err error) {
	e, err := sqlite.Open(ctx, sqlite.Options{Path: file})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	at, err := identity.Sign(ctx, e, t.StoreIdentity)
	return identity.Trace{Database: database, StorePosition: at}, err
}

// putAside renames the database and its companions.
func (d database) putAside() (string, error) {
	if _, err := os.Stat(d.file); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	aside := d.file + ".before-" + time.Now().UTC().Format("20060102T150405Z")
	if _, err := os.Lstat(aside); err == nil {
		return "", fmt.Errorf("%s: %w", aside, os.ErrExist)
	}
	for _, suffix := range companions {
		if err := os.Rename(d.file+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return aside, err
		}
	}
	return aside, nil
}

// copyFile copies a file into a new one of its owner's, durably.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
