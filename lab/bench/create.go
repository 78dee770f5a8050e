package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/lab"
)

// How many ports are created, and by how many clients at once.
const (
	warmPorts       = 300
	sequentialPorts = 3000
	parallelPorts   = 9000
	parallelClients = 16
)

// create measures POST /v2.0/ports on a server process of its own, with its
// store on disk and no agent.
func (b *bench) create(ctx context.Context) (figures []figure, err error) {
	s, err := startServer(ctx, b.binary)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	body, err := s.network(ctx)
	if err != nil {
		return nil, inPlace(s.log, err)
	}
	if _, _, err := s.createPorts(ctx, body, load{ports: warmPorts, clients: 1}); err != nil {
		return nil, err
	}
	one, rate, err := s.createPorts(ctx, body, load{ports: sequentialPorts, clients: 1})
	if err != nil {
		return nil, err
	}
	f := figure{name: "create port over HTTP, one client", target: "p50 ≤ 2 ms", also: fmt.Sprintf("%.0f/s", rate)}.take(one)
	f.atMost("p50", f.p50, 2*time.Millisecond)
	figures = append(figures, f)
	many, rate, err := s.createPorts(ctx, body, load{ports: parallelPorts, clients: parallelClients})
	if err != nil {
		return figures, err
	}
	f = figure{name: fmt.Sprintf("create port over HTTP, %d clients", parallelClients), target: "≥ 1,500/s", also: fmt.Sprintf("%.0f/s", rate)}.take(many)
	if rate < 1500 {
		f.missed = append(f.missed, fmt.Sprintf("%.0f/s short", 1500-rate))
	}
	return append(figures, f), nil
}

// server is a server process without hosts.
type server struct {
	cmd  *exec.Cmd
	dir  string
	log  string
	url  string
	http *http.Client
}

// startServer starts the real server on a socket that we listen on, so that no
// port is guessed, and waits for its first answer.
func startServer(ctx context.Context, binary string) (*server, error) {
	dir, err := os.MkdirTemp("", "neutrino-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, log: filepath.Join(dir, "server.log"), http: &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: parallelClients},
	}}
	if err := s.start(ctx, binary); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *server) start(ctx context.Context, binary string) error {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer ln.Close()
	socket, err := ln.File()
	if err != nil {
		return err
	}
	defer socket.Close()
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	s.url = "http://" + ln.Addr().String()
	// Socket activation (sd_listen_fds(3)) wants the receiver's own pid, which
	// the shell knows and exec keeps.
	s.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", binary, "server", "--state-path", s.dir)
	s.cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=api")
	s.cmd.ExtraFiles, s.cmd.Stdout, s.cmd.Stderr = []*os.File{socket}, log, log
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	// The server has the socket now. While we held it too, a request to a server
	// that has ended would wait instead of failing.
	if err := errors.Join(socket.Close(), ln.Close()); err != nil {
		return err
	}
	return until(ctx, 10*time.Second, 10*time.Millisecond, func() error {
		_, err := lab.NewClient(s.url).List(ctx, "networks", nil)
		return err
	})
}

// stop ends the server and removes what it wrote.
func (s *server) stop() error {
	s.http.CloseIdleConnections()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()         // killed
	}
	return os.RemoveAll(s.dir)
}

// network makes a network with one subnet and returns the body of a port's
// creation.
func (s *server) network(ctx context.Context) ([]byte, error) {
	c := lab.NewClient(s.url)
	network, err := c.Create(ctx, "networks", lab.Object{"name": "bench"})
	if err != nil {
		return nil, err
	}
	_, err = c.Create(ctx, "subnets", lab.Object{"network_id": network.ID(), "ip_version": 4, "cidr": "10.0.0.0/16"})
	return fmt.Appendf(nil, `{"port":{"network_id":%q}}`, network.ID()), err
}

// load is how much is asked of a server.
type load struct{ ports, clients int }

// createPorts creates ports and returns how long each took and how many a
// second there were.
func (s *server) createPorts(ctx context.Context, body []byte, l load) ([]time.Duration, float64, error) {
	took := make([]time.Duration, l.ports)
	errs := make([]error, l.clients)
	var next atomic.Int64
	var clients sync.WaitGroup
	began := time.Now()
	for c := range l.clients {
		clients.Go(func() {
			for i := next.Add(1) - 1; i < int64(l.ports) && errs[c] == nil; i = next.Add(1) - 1 {
				start := time.Now()
				errs[c] = s.post(ctx, body)
				took[i] = time.Since(start)
			}
		})
	}
	clients.Wait()
	rate := float64(l.ports) / time.Since(began).Seconds()
	return took, rate, errors.Join(errs...)
}

func (s *server) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v2.0/ports", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("create port: %s: %s", resp.Status, text)
	}
	return err
}
