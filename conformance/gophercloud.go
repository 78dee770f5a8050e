package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// gophercloud runs the story of conformance/gophercloud, a test binary.
func (s *stack) gophercloud(ctx context.Context) ([]result, error) {
	cmd := exec.CommandContext(ctx, s.story, "-test.v", "-test.timeout", "10m")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.keystone.env(adminUser)...)
	cmd.Env = append(cmd.Env, "NEUTRINO_CONFORMANCE=1", "NEUTRINO_CONFORMANCE_PUBLIC="+s.public)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, err := readGoTests(out, func(r result) {
		if r.Status == failed {
			s.say("gophercloud: failed: %s", r.Name)
		}
	})
	_, _ = io.Copy(io.Discard, out) // after an error the rest must not block the writer
	var exit *exec.ExitError
	// A test that failed is an exit code too; what failed, the output says.
	if werr := cmd.Wait(); werr != nil && !errors.As(werr, &exit) {
		err = errors.Join(err, werr)
	}
	return results, err
}

// readGoTests reads what a Go test binary prints with -test.v. A test that
// began and did not end, because the binary panicked, has failed.
func readGoTests(r io.Reader, each func(result)) ([]result, error) {
	verdict := regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)$`)
	words := map[string]status{"PASS": passed, "FAIL": failed, "SKIP": skipped}
	var results []result
	var said []string
	running := ""
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "=== RUN "); ok {
			running, said = strings.TrimSpace(name), nil
			continue
		}
		found := verdict.FindStringSubmatch(line)
		if found == nil {
			said = append(said, strings.TrimSpace(line))
			continue
		}
		seconds, err := strconv.ParseFloat(found[3], 64)
		if err != nil {
			return results, fmt.Errorf("read %q: %w", line, err)
		}
		t := result{Name: found[2], Status: words[found[1]], Seconds: seconds}
		if t.Status != passed {
			t.Reason = strings.Join(said, "\n")
		}
		each(t)
		results, running, said = append(results, t), "", nil
	}
	if running != "" {
		t := result{Name: running, Status: failed, Reason: lastLines(strings.Join(said, "\n"), tailLines)}
		each(t)
		results = append(results, t)
	}
	return results, lines.Err()
}
