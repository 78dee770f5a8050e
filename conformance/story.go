package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// step is one command of a story and what is expected of it.
type step struct {
	line    int
	user    string
	host    string // of the lab, where the command is no openstack's
	command string
	fails   bool
	awaits  bool // it is repeated until it is as expected
	expect  []expectation
}

// expectation is one indented line below a command.
type expectation struct {
	key, op, want string
}

// parseStory reads steps; see the head of openstack.story for the form.
func parseStory(text string) ([]step, error) {
	form := regexp.MustCompile(`^ +(.+?) (=|~|!~|>|has|lacks) (.+)$`)
	var steps []step
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\n ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " "):
			if len(steps) == 0 {
				return nil, fmt.Errorf("line %d: no command above it", n)
			}
			last := &steps[len(steps)-1]
			e := expectation{op: "says", want: strings.TrimSpace(line)}
			if words, said := strings.CutPrefix(e.want, "says "); said {
				e.want = words
			} else if !last.fails {
				words := form.FindStringSubmatch(line)
				if words == nil {
					return nil, fmt.Errorf("line %d: %q is no expectation", n, line)
				}
				e = expectation{words[1], words[2], words[3]}
			}
			last.expect = append(last.expect, e)
		default:
			s := step{line: n, user: adminUser, command: line}
			s.command, s.awaits = strings.CutPrefix(s.command, "await ")
			s.command, s.fails = strings.CutPrefix(s.command, "! ")
			if rest, ok := strings.CutPrefix(s.command, "on "); ok {
				s.host, s.command, _ = strings.Cut(rest, " ")
			}
			if rest, ok := strings.CutPrefix(s.command, "@"+demoUser+" "); ok {
				s.user, s.command = demoUser, rest
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// story is the text of a story under its client's name, with what is known when
// it begins.
type story struct {
	name, text string
	known      map[string]string
}

// play runs a story with the real client.
func (s *stack) play(ctx context.Context, st story) ([]result, error) {
	steps, err := parseStory(st.text)
	if err != nil {
		return nil, fmt.Errorf("%s.story: %w", st.name, err)
	}
	s.say("%s: %d commands", st.name, len(steps))
	var results []result
	for _, step := range steps {
		began := time.Now()
		r := result{Name: fmt.Sprintf("%d: %s", step.line, step.name()), Status: passed}
		err := s.take(ctx, step, st.known)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			r.Status, r.Reason = failed, err.Error()
			s.say("%s: failed: %s", st.name, r.Name)
		}
		r.Seconds = time.Since(began).Seconds()
		results = append(results, r)
	}
	return results, nil
}

func (st step) name() string {
	if st.host != "" {
		return "on " + st.host + " " + st.command
	}
	return "openstack " + st.command
}

// How long a command may take, and a story waits for one to be as expected: the
// client never hangs, and an emulated machine boots in less.
const (
	commandTime = 3 * time.Minute
	awaitTime   = 2 * time.Minute
)

// take runs a step, again and again if that is what it says.
func (s *stack) take(ctx context.Context, st step, known map[string]string) error {
	began := time.Now()
	for {
		err := s.takeOnce(ctx, st, known)
		if err == nil || !st.awaits || ctx.Err() != nil || time.Since(began) > awaitTime {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// takeOnce runs a step's command with the values that others left.
func (s *stack) takeOnce(ctx context.Context, st step, known map[string]string) error {
	missing := ""
	fill := func(text string) string {
		return os.Expand(text, func(name string) string {
			if known[name] == "" {
				missing = name
			}
			return known[name]
		})
	}
	args, host := strings.Fields(fill(st.command)), fill(st.host)
	wanted := slices.Clone(st.expect)
	for i := range wanted {
		if wanted[i].op != "says" { // a regular expression has dollars of its own
			wanted[i].want = fill(wanted[i].want)
		}
	}
	if missing != "" {
		return fmt.Errorf("an earlier command did not give ${%s}", missing)
	}
	st.expect, st.host = wanted, host
	structured := slices.ContainsFunc(wanted, func(e expectation) bool { return e.op != "says" })
	if structured {
		args = append(args, "-f", "json")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd, err := s.commandOf(ctx, st, args)
	if err != nil {
		return err
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	switch {
	case st.fails && err == nil:
		return errors.New("it was expected to fail, and did not")
	case st.fails:
		return st.compare(nil, out.String()+complaint.String(), known)
	case err != nil:
		return fmt.Errorf("%w: %s", err, lastLines(out.String()+complaint.String(), 4))
	case !structured:
		return st.compare(nil, out.String(), known)
	}
	var answer any
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return fmt.Errorf("no JSON: %w: %s", err, lastLines(out.String(), 4))
	}
	return st.compare(answer, "", known)
}

// commandOf is a step's command: the client as the step's user, or what is run on
// a host.
func (s *stack) commandOf(ctx context.Context, st step, args []string) (*exec.Cmd, error) {
	if st.host == "" {
		cmd := exec.CommandContext(ctx, "/usr/bin/openstack", args...)
		cmd.Env = append(os.Environ(), append(s.keystone.env(st.user), "PYTHONWARNINGS=ignore")...)
		return cmd, nil
	}
	h, err := s.hosts.Host(st.host)
	if err != nil {
		return nil, err
	}
	return h.Command(ctx, args...), nil
}

// compare holds an answer to all expectations and takes what is to be kept.
func (st step) compare(answer any, complaint string, known map[string]string) error {
	var errs []error
	for _, e := range st.expect {
		if e.op == "says" {
			if ok, err := regexp.MatchString(e.want, complaint); !ok {
				errs = append(errs, errors.Join(err, fmt.Errorf("it said %q, want %q", lastLines(complaint, 2), e.want)))
			}
			continue
		}
		if e.op == "has" || e.op == "lacks" {
			if column(answer, e.key, e.want) != (e.op == "has") {
				errs = append(errs, fmt.Errorf("a row with %s = %q: want it to be so: %t", e.key, e.want, e.op == "has"))
			}
			continue
		}
		row, ok := answer.(map[string]any)
		value, there := row[e.key]
		if !ok || !there {
			errs = append(errs, fmt.Errorf("the answer has no %s", e.key))
			continue
		}
		got := plain(value)
		matched := got == e.want
		switch e.op {
		case ">":
			known[e.want], matched = got, true
		case "~", "!~":
			found, err := regexp.MatchString(e.want, got)
			if err != nil {
				errs = append(errs, err)
			}
			matched = found == (e.op == "~")
		}
		if !matched {
			errs = append(errs, fmt.Errorf("%s is %s, want %s %s", e.key, got, e.op, e.want))
		}
	}
	return errors.Join(errs...)
}

// column reports whether a row of a list has the value in the column.
func column(answer any, key, want string) bool {
	rows, _ := answer.([]any)
	return slices.ContainsFunc(rows, func(row any) bool {
		fields, _ := row.(map[string]any)
		value, there := fields[key]
		return there && plain(value) == want
	})
}

// plain is a JSON value as text: strings without quotes.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
