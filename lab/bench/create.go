package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	defer func() { err = errors.Join(err, s.remove()) }()
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
	f = figure{name: fmt.Sprintf("create port over HTTP, %d clients", parallelClients), target: "≥ 1,500/s"}.take(many)
	f.atLeast(rate, 1500)
	return append(figures, f), nil
}

// server is a server process without hosts.
type server struct {
	args []string // of the program
	cmd  *exec.Cmd
	dir  string
	log  string
	url  string
	http *http.Client
	// first is what is asked for to find out whether it serves.
	first string
}

// startServer starts the real server with a state of its own and the options,
// and waits for its first answer.
func startServer(ctx context.Context, binary string, options ...string) (*server, error) {
	dir, err := os.MkdirTemp("", "neutrino-bench-")
	if err != nil {
		return nil, err
	}
	s := newServer(dir, append([]string{binary, "server", "--state-path", dir}, options...))
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// newServer is a server that is not started.
func newServer(dir string, args []string) *server {
	return &server{
		args: args, dir: dir, log: filepath.Join(dir, "server.log"), first: "/v2.0/networks?limit=1", http: &http.Client{
			Timeout: startTime, Transport: &http.Transport{MaxIdleConnsPerHost: 4 * parallelClients},
		},
	}
}

// startTime is how long a server may take until its first answer.
const startTime = time.Minute

// start starts the server on a socket that we listen on, so that no port is
// guessed.
func (s *server) start(ctx context.Context) error {
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
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.url = "http://" + ln.Addr().String()
	// Socket activation (sd_listen_fds(3)) wants the receiver's own pid, which
	// the shell knows and exec keeps.
	s.cmd = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, s.args...)...)
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
	return until(ctx, startTime, 10*time.Millisecond, func() error {
		_, _, err := s.get(ctx, s.first)
		return err
	})
}

// kill ends the server without a warning and leaves what it wrote.
func (s *server) kill() {
	s.http.CloseIdleConnections()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()         // killed
	}
}

// remove ends the server and removes what it wrote.
func (s *server) remove() error {
	s.kill()
	return os.RemoveAll(s.dir)
}

// network makes a network with one subnet and returns the body of a port's
// creation.
func (s *server) network(ctx context.Context) ([]byte, error) {
	if err := s.unlimited(ctx, "default"); err != nil {
		return nil, err
	}
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
				_, errs[c] = s.post(ctx, body)
				took[i] = time.Since(start)
			}
		})
	}
	clients.Wait()
	rate := float64(l.ports) / time.Since(began).Seconds()
	return took, rate, errors.Join(errs...)
}

// post creates ports and returns the answer.
func (s *server) post(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v2.0/ports", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, status, err := s.do(req)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("create port: %d: %.500s", status, answer)
	}
	return answer, err
}

// get reads a path; headers are name, value, name, value. It returns the answer
// and how long it took until the last byte.
func (s *server) get(ctx context.Context, path string, headers ...string) ([]byte, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, 0, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	start := time.Now()
	answer, status, err := s.do(req)
	took := time.Since(start)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d: %.500s", path, status, answer)
	}
	return answer, took, err
}

func (s *server) do(req *http.Request) ([]byte, int, error) {
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if resp.ContentLength > 0 {
		b.Grow(int(resp.ContentLength) + bytes.MinRead)
	}
	_, err = b.ReadFrom(resp.Body)
	return b.Bytes(), resp.StatusCode, err
}
