package lab

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// Output is what a command in an instance gave.
type Output struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Code   int    `json:"code"` // 143: the time was up
}

// serial is a connection to the agent script in a virtual machine, over its
// second serial port. QEMU serves one connection at a time; others wait.
type serial struct {
	conn  net.Conn
	lines chan string
}

// dialSerial connects and waits until the guest has booted and answers. The
// context must have a deadline, or it waits for ever.
func dialSerial(ctx context.Context, path string) (*serial, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("lab: serial port: %w", err)
	}
	s := &serial{conn: conn, lines: make(chan string, 64)}
	go s.read()
	// What is sent while nobody listens is lost, so ask until an answer comes.
	for n := 0; ; n++ {
		token := strconv.Itoa(n) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
		if _, err := fmt.Fprintf(conn, "\n? %s\n", token); err != nil {
			s.close()
			return nil, fmt.Errorf("lab: serial port: %w", err)
		}
		wait, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		err := s.await(wait, "! "+token)
		cancel()
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			s.close()
			return nil, fmt.Errorf("lab: serial port: the guest does not answer: %w", err)
		}
	}
}

// read hands the lines over until the connection ends.
func (s *serial) read() {
	defer close(s.lines)
	r := bufio.NewScanner(s.conn)
	for r.Scan() {
		s.lines <- strings.TrimRight(r.Text(), "\r")
	}
}

// close ends the connection and lets the reader end.
func (s *serial) close() {
	s.conn.Close()
	for range s.lines {
	}
}

func (s *serial) next(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case line, ok := <-s.lines:
		if !ok {
			return "", errors.New("lab: serial port: the machine closed it")
		}
		return line, nil
	}
}

func (s *serial) await(ctx context.Context, want string) error {
	for {
		line, err := s.next(ctx)
		if err != nil || line == want {
			return err
		}
	}
}

// run runs a shell text in the guest. The guest ends it when the context's
// time is up (100 s without a deadline).
func (s *serial) run(ctx context.Context, script string) (Output, error) {
	seconds := 100
	if deadline, ok := ctx.Deadline(); ok {
		seconds = max(1, int(math.Ceil(time.Until(deadline).Seconds())))
	}
	token := strconv.FormatInt(time.Now().UnixNano(), 36)
	text := base64.StdEncoding.EncodeToString([]byte(script))
	if _, err := fmt.Fprintf(s.conn, "run %s %d %s\n", token, seconds, text); err != nil {
		return Output{}, fmt.Errorf("lab: serial port: %w", err)
	}
	out := Output{Code: -1}
	var stdout, stderr strings.Builder
	for {
		line, err := s.next(ctx)
		if err != nil {
			return out, fmt.Errorf("lab: serial port: %w", err)
		}
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[1] != token {
			continue // of another command
		}
		last := fields[len(fields)-1]
		switch fields[0] {
		case "code":
			out.Code, err = strconv.Atoi(last)
		case "out":
			stdout.WriteString(last)
		case "err":
			stderr.WriteString(last)
		case "end":
			return out, out.decode(stdout.String(), stderr.String())
		}
		if err != nil {
			return out, fmt.Errorf("lab: serial port: %q: %w", line, err)
		}
	}
}

func (o *Output) decode(stdout, stderr string) error {
	out, err1 := base64.StdEncoding.DecodeString(stdout)
	errs, err2 := base64.StdEncoding.DecodeString(stderr)
	o.Stdout, o.Stderr = string(out), string(errs)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("lab: serial port: %w", err)
	}
	return nil
}
