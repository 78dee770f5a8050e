package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"neutrino/lab"
)

// stack is the cloud of one run: all its files are in one directory, all its
// processes are ours.
type stack struct {
	options
	dir       string
	lock      *os.File // held as long as we live: others see that the directory is in use
	began     time.Time
	processes []*process
	hosts     *lab.Lab
	keystone  *keystone
	network   rest // the API under test, as admin
	public    string
	compute   computePorts
	forwards  []func() error
}

// dirPrefix begins the names of runs' directories. They are short: unix
// sockets lie in them.
const dirPrefix = "neutrino-conf-"

func newStack(ctx context.Context, o options) (*stack, error) {
	dir, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	s := &stack{options: o, dir: dir, began: time.Now()}
	if s.lock, err = os.Create(s.path("lock")); err == nil {
		err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err == nil {
		err = os.Mkdir(s.path("log"), 0o755)
	}
	if err == nil {
		s.compute, err = choosePorts(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a directory: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *stack) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *stack) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%6.1fs] %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// up brings everything up in the order in which one needs the other.
func (s *stack) up(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		s.startKeystone, s.startServer, s.startHosts, s.makePublic, s.writeOpenrc,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// closeTime is how long taking everything down may take.
const closeTime = time.Minute

// close stops and removes everything, also after an interrupt. The logs of a
// run that failed go to the results.
func (s *stack) close(ctx context.Context, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	var errs []error
	for _, stop := range s.forwards {
		errs = append(errs, stop())
	}
	if s.hosts != nil {
		if failure != nil {
			errs = append(errs, s.keepHostLogs(ctx))
		}
		errs = append(errs, s.hosts.Down(ctx))
	}
	for _, p := range slices.Backward(s.processes) {
		errs = append(errs, p.stop(ctx))
	}
	if failure != nil {
		errs = append(errs, s.keepLogs(ctx))
	}
	errs = append(errs, os.RemoveAll(s.dir), s.lock.Close())
	return errors.Join(errs...)
}

// keepHostLogs puts the hosts' logs to the others, before the hosts go.
func (s *stack) keepHostLogs(ctx context.Context) error {
	var errs []error
	for _, h := range s.hosts.Hosts() {
		if err := copyTree(ctx, filepath.Join(h.Dir(), "log"), s.path("log", h.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("keep the logs of %s: %w", h.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *stack) keepLogs(ctx context.Context) error {
	to := filepath.Join(s.results, "log")
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	if err := copyTree(ctx, s.path("log"), to); err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	s.say("the logs are in %s", to)
	return nil
}

// sweep removes what runs left that were killed: their directories are not
// locked by anybody.
func sweep(ctx context.Context) error {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := sweepDir(ctx, dir); err != nil {
			return fmt.Errorf("remove what an earlier run left in %s: %w", dir, err)
		}
	}
	return nil
}

func sweepDir(ctx context.Context, dir string) error {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // just being made, or not ours
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil // in use
	}
	left, err := lab.New(ctx, lab.Settings{Dir: filepath.Join(dir, labDir)})
	if err != nil {
		return err
	}
	if err := left.Down(ctx); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// writeOpenrc leaves what a shell needs to look around.
func (s *stack) writeOpenrc(context.Context) error {
	var b strings.Builder
	for _, v := range s.keystone.env(adminUser) {
		fmt.Fprintf(&b, "export %s\n", v)
	}
	return os.WriteFile(s.path("openrc"), []byte(b.String()), 0o600)
}
