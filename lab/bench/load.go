package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// What the part load does: so many ports in store, and so long under each attack.
const (
	loadPorts  = 100_000
	loadTime   = 8 * time.Second
	loadPause  = 5 * time.Millisecond // between two requests of the other tenant
	memoryOver = 1 << 30              // what the server may take beyond its store, bytes
	fewFiles   = 64
)

// load measures another tenant's requests while somebody attacks the API.
func (b *bench) load(ctx context.Context) ([]figure, error) {
	figures, err := b.loadStore(ctx)
	if err != nil {
		return figures, err
	}
	got, err := b.loadPasswords(ctx)
	if figures = append(figures, got...); err != nil {
		return figures, err
	}
	got, err = b.loadDescriptors(ctx)
	return append(figures, got...), err
}

// loadStore attacks a server with a full store.
func (b *bench) loadStore(ctx context.Context) (figures []figure, err error) {
	s, err := startServer(ctx, b.binary)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	p := &population{server: s, ports: loadPorts}
	if err := p.hosts(ctx); err != nil {
		return nil, inPlace(s.log, err)
	}
	if err := p.bulk(ctx, loadPorts); err != nil {
		return nil, inPlace(s.log, err)
	}
	before, err := p.settled(ctx)
	if err != nil {
		return nil, err
	}
	v := victim{server: s, path: "/v2.0/ports/" + p.ids[0], headers: []string{"X-Project-Id", "quiet"}, store: before}
	return v.under(ctx, "lists", "bodies", "long-lists", "promises", "paths")
}

// loadPasswords guesses the passwords of a server with http_basic.
func (b *bench) loadPasswords(ctx context.Context) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "neutrino-bench-users-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.DefaultCost)
	if err != nil {
		return nil, err
	}
	users, file := filepath.Join(dir, "htpasswd"), filepath.Join(dir, "neutron.conf")
	text := "[DEFAULT]\nauth_strategy = http_basic\nhttp_basic_auth_user_file = " + users + "\n"
	if err := errors.Join(os.WriteFile(users, []byte("operator:"+string(hash)+"\n"), 0o600), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return nil, err
	}
	s, err := startOpen(ctx, []string{b.binary}, "--config-file", file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	v := victim{server: s, path: "/v2.0/networks", headers: []string{"Authorization", "Basic b3BlcmF0b3I6cmlnaHQ="}}
	return v.under(ctx, "passwords")
}

// loadDescriptors takes the connections of a server that has few descriptors.
func (b *bench) loadDescriptors(ctx context.Context) (figures []figure, err error) {
	s, err := startOpen(ctx, []string{"prlimit", "--nofile=" + strconv.Itoa(fewFiles), b.binary})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	v := victim{server: s, path: "/v2.0/networks", headers: []string{"X-Project-Id", "quiet"}}
	return v.under(ctx, "idle")
}

// startOpen starts a server by a command that ends with the program, and waits until
// it is ready.
func startOpen(ctx context.Context, command []string, options ...string) (*server, error) {
	dir, err := os.MkdirTemp("", "neutrino-bench-")
	if err != nil {
		return nil, err
	}
	s := newServer(dir, append(append(command, "server", "--state-path", dir), options...))
	s.first = "/readyz"
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// victim is another tenant, who asks one thing again and again.
type victim struct {
	*server
	path    string
	headers []string
	store   int // the server's memory before, bytes; 0 is not looked at
}

// under measures the tenant alone, and then under each attack.
func (v victim) under(ctx context.Context, attacks ...string) ([]figure, error) {
	quiet, _, err := v.asks(ctx)
	if err != nil {
		return nil, inPlace(v.log, err)
	}
	f := figure{name: "another tenant's request, quiet, before: " + attacks[0], target: "-"}.take(quiet)
	figures := []figure{f}
	for _, name := range attacks {
		g, err := v.attacked(ctx, name, f.p99)
		if err != nil {
			return figures, inPlace(v.log, err)
		}
		figures = append(figures, g)
	}
	return figures, nil
}

// attacked measures the tenant during one attack, which a process of lower priority
// makes: on a machine of its own it would not take the server's processors.
func (v victim) attacked(ctx context.Context, name string, quiet time.Duration) (figure, error) {
	limit := 2*quiet + 10*time.Millisecond
	f := figure{name: "another tenant's request, under: " + name, target: "p99 ≤ " + millis(limit)}
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	limited, cancel := context.WithTimeout(ctx, 4*loadTime) // it ends whatever happens to us
	defer cancel()
	attacker := exec.CommandContext(limited, "nice", "-n", "10", self, "-attack", name, "-url", v.url)
	attacker.Stderr = os.Stderr
	if err := attacker.Start(); err != nil {
		return f, err
	}
	logged := fileSize(v.log)
	samples, resident, err := v.asks(ctx)
	cancel()
	_ = attacker.Wait() // killed
	if err != nil {
		return f, err
	}
	f = f.take(samples)
	f.atMost("p99", f.p99, limit)
	f.also = fmt.Sprintf("server at most %d MB, log %d KB", resident>>20, (fileSize(v.log)-logged)>>10)
	if v.store > 0 {
		f.also += fmt.Sprintf("; %d MB above its store", (resident-v.store)>>20)
		if resident-v.store > memoryOver {
			f.missed = append(f.missed, "more than 1 GB above its store")
		}
	}
	return f, nil
}

// asks asks for a while, and says how long each request took and how much memory the
// server had at most.
func (v victim) asks(ctx context.Context) (took []time.Duration, most int, err error) {
	tick := time.NewTicker(loadPause)
	defer tick.Stop()
	for end := time.Now().Add(loadTime); time.Now().Before(end); {
		_, d, err := v.get(ctx, v.path, v.headers...)
		if err != nil {
			return took, most, err
		}
		took = append(took, d)
		if resident, err := v.resident(); err == nil {
			most = max(most, resident)
		}
		select {
		case <-ctx.Done():
			return took, most, ctx.Err()
		case <-tick.C:
		}
	}
	return took, most, nil
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
