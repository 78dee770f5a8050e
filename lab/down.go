package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// downTime is how long Down may take; each step has its own, shorter grace.
const downTime = 30 * time.Second

// Down stops all processes of the lab, and with them its namespaces, removes
// its files and verifies that nothing is left. Without a lab it does nothing.
// What stays is the cache, and an empty /var/lib/neutron: removing a directory
// that another lab has mounted over would unmount it there.
func (l *Lab) Down(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("lab: namespaces need root: run it with sudo")
	}
	if _, err := os.Stat(l.Dir); errors.Is(err, os.ErrNotExist) {
		l.say("lab %s is not up", l.Name)
		return nil
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// A second Ctrl-C must not leave half a lab: Down ends by its own time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTime)
	defer cancel()
	return l.tearDown(ctx)
}

func (l *Lab) tearDown(ctx context.Context) error {
	if err := l.stopAll(ctx); err != nil {
		return err
	}
	if err := l.removeFiles(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.state = state{}
	if l.http != nil {
		l.http.CloseIdleConnections()
	}
	l.mu.Unlock()
	l.say("lab %s is down", l.Name)
	return nil
}

// stopAll ends everything, in an order that lets the services end in peace:
// server and agents, virtual machines, whatever else runs in the hosts, and
// the holders last.
func (l *Lab) stopAll(ctx context.Context) error {
	st := l.snapshot()
	waves := [3][]Process{}
	for _, p := range st.Processes {
		wave := 1
		switch p.Name {
		case processServer, processAgent:
			wave = 0
		case processHolder:
			wave = 2
		}
		waves[wave] = append(waves[wave], p)
	}
	for i, wave := range waves {
		if i == 2 {
			others, err := l.others(ctx, wave)
			if err != nil {
				return err
			}
			if err := stopTogether(ctx, others); err != nil {
				return err
			}
		}
		if err := stopTogether(ctx, wave); err != nil {
			return err
		}
	}
	if err := l.verifyStopped(ctx); err != nil {
		return err
	}
	return l.record(ctx, func(st *state) {
		st.Complete, st.Processes, st.Instances, st.Hosts = false, nil, nil, nil
	})
}

func stopTogether(ctx context.Context, ps []Process) error {
	var all errgroup.Group
	for _, p := range ps {
		all.Go(func() error { return p.stop(ctx, 3*time.Second) })
	}
	return all.Wait()
}

// others are the processes in the lab's hosts that are not their holders.
func (l *Lab) others(ctx context.Context, holders []Process) ([]Process, error) {
	found, err := l.marked(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		if p.PID == os.Getpid() {
			return nil, fmt.Errorf("lab: this runs inside %s: run it on the machine itself", p.Host)
		}
	}
	return slices.DeleteFunc(found, func(p Process) bool {
		return slices.ContainsFunc(holders, func(h Process) bool { return h.PID == p.PID })
	}), nil
}

// verifyStopped kills what was started in a host while we stopped the rest,
// and fails when something cannot be killed.
func (l *Lab) verifyStopped(ctx context.Context) error {
	return poll(ctx, 20*time.Millisecond, func() error {
		left, err := l.marked(ctx)
		if err != nil || len(left) == 0 {
			return err
		}
		var names []string
		for _, p := range left {
			names = append(names, fmt.Sprintf("%s of %s (pid %d)", p.Name, p.Host, p.PID))
			if err := p.signal(ctx, unix.SIGKILL); err != nil {
				return err
			}
		}
		return fmt.Errorf("lab: still running: %s", strings.Join(names, ", "))
	})
}

// removeFiles removes what the lab wrote, and nothing else that someone may
// have in the directory.
func (l *Lab) removeFiles(ctx context.Context) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	// Nothing is ever mounted outside the hosts; a mount here would be removed
	// with all that is in it.
	if strings.Contains(string(mounts), " "+l.Dir+"/") {
		return fmt.Errorf("lab: something is mounted below %s: unmount it first", l.Dir)
	}
	img := l.image()
	for _, path := range []string{
		l.path("hosts"), l.path("vm"), l.path("feed.sock"), img.Kernel, img.Initrd, l.path("udhcpc"), l.path("dhclient6"),
		l.path(stateFile + ".new"), l.path(stateFile), // the record last
	} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	if err := os.Remove(l.Dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("lab: %w", err)
	}
	return ctx.Err()
}
