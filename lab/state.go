package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// state is what lab.json holds: all that Down needs to know.
type state struct {
	ID        string       `json:"id"` // random; the mark in every host's /run
	Settings  Settings     `json:"settings"`
	Made      time.Time    `json:"made"`
	APIPort   int          `json:"api_port"`
	Complete  bool         `json:"complete"` // Up came to its end
	Hosts     []HostRecord `json:"hosts"`
	Processes []Process    `json:"processes"`
	Instances []Instance   `json:"instances"`
}

// host is the record of a host, nil if there is none.
func (st *state) host(name string) *HostRecord {
	for i := range st.Hosts {
		if st.Hosts[i].Name == name {
			return &st.Hosts[i]
		}
	}
	return nil
}

// setHolder notes which process holds a host's namespaces.
func (st *state) setHolder(host string, pid int) {
	if h := st.host(host); h != nil {
		h.Holder = pid
	}
}

const stateFile = "lab.json"

func newState(s Settings) (state, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return state{}, fmt.Errorf("lab: draw an id: %w", err)
	}
	return state{ID: hex.EncodeToString(id), Settings: s, Made: time.Now().UTC()}, nil
}

// load reads lab.json; without one the state is empty.
func (l *Lab) load(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := os.ReadFile(l.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		l.state = state{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("lab: read the record: %w", err)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return fmt.Errorf("lab: read the record %s: %w", l.path(stateFile), err)
	}
	l.state = st
	return nil
}

func (l *Lab) snapshot() state {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.state
	st.Hosts = slices.Clone(st.Hosts)
	st.Processes = slices.Clone(st.Processes)
	st.Instances = slices.Clone(st.Instances)
	return st
}

// record changes the state and writes it, whole or not at all, before it
// returns.
func (l *Lab) record(_ context.Context, change func(*state)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.state)
	b, err := json.MarshalIndent(&l.state, "", "  ")
	if err != nil {
		return fmt.Errorf("lab: write the record: %w", err)
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	tmp := l.path(stateFile + ".new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("lab: write the record: %w", err)
	}
	if err := os.Rename(tmp, l.path(stateFile)); err != nil {
		return fmt.Errorf("lab: write the record: %w", err)
	}
	return nil
}

// lock lets one command at a time change a lab, and reads the record that the
// one before left. The lock file lies beside the directory, because Down
// removes the directory; a killed process lets go of it by itself.
func (l *Lab) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(l.Dir+".lock", os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lab: lock: %w", err)
	}
	told := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lab: lock %s: %w", f.Name(), err)
		}
		if !told {
			l.say("waiting for another command on this lab")
			told = true
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			f.Close()
			return nil, fmt.Errorf("lab: wait for another command on this lab: %w", err)
		}
	}
	if !sameFile(f) { // the one before us removed it with its lab
		f.Close()
		return l.lock(ctx)
	}
	if err := l.load(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
			os.Remove(f.Name())
		}
		f.Close()
	}, nil
}

func sameFile(f *os.File) bool {
	open, err1 := f.Stat()
	named, err2 := os.Stat(f.Name())
	return err1 == nil && err2 == nil && os.SameFile(open, named)
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// poll asks until the answer is nil, and returns the last answer when the
// context ends.
func poll(ctx context.Context, every time.Duration, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if perr := pause(ctx, every); perr != nil {
			return fmt.Errorf("%w (%w)", err, perr)
		}
	}
}
