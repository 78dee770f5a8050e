package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
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
	cmd.Stderr = os.Stderr
	return s.runGoTests(ctx, cmd, partGophercloud)
}

// runGoTests runs a compiled Go test with -test.v and says what fails meanwhile.
func (s *stack) runGoTests(ctx context.Context, cmd *exec.Cmd, part string) ([]result, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, err := readGoTests(out, func(r result) {
		if r.Status == failed {
			s.say("%s: failed: %s", part, r.Name)
		}
	})
	_, _ = io.Copy(io.Discard, out) // after an error the rest must not block the writer
	var exit *exec.ExitError
	// A test that failed is an exit code too; what failed, the output says.
	if werr := cmd.Wait(); werr != nil && !errors.As(werr, &exit) {
		err = errors.Join(err, werr)
	}
	if ctx.Err() != nil {
		return results, ctx.Err()
	}
	return results, err
}

// readGoTests reads what a Go test binary prints with -test.v, also of tests
// that run beside each other. A test that began and did not end, because the
// binary panicked or ran out of time, has failed.
func readGoTests(r io.Reader, each func(result)) ([]result, error) {
	verdict := regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)$`)
	now := regexp.MustCompile(`^=== (?:RUN|PAUSE|CONT|NAME) +(\S+)$`)
	words := map[string]status{"PASS": passed, "FAIL": failed, "SKIP": skipped}
	var results []result
	said := map[string][]string{} // by those that have not ended
	current := ""
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if found := now.FindStringSubmatch(line); found != nil {
			current, _, _ = strings.Cut(found[1], "/")
			if _, runs := said[current]; !runs {
				said[current] = nil
			}
			continue
		}
		found := verdict.FindStringSubmatch(line)
		if found == nil {
			if _, runs := said[current]; runs {
				said[current] = append(said[current], strings.TrimSpace(line))
			}
			continue
		}
		seconds, err := strconv.ParseFloat(found[3], 64)
		if err != nil {
			return results, fmt.Errorf("read %q: %w", line, err)
		}
		t := result{Name: found[2], Status: words[found[1]], Seconds: seconds}
		if t.Status != passed {
			t.Reason = strings.Join(said[t.Name], "\n")
		}
		delete(said, t.Name)
		each(t)
		results = append(results, t)
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		t := result{Name: name, Status: failed, Reason: lastLines(strings.Join(said[name], "\n"), tailLines)}
		each(t)
		results = append(results, t)
	}
	return results, lines.Err()
}
