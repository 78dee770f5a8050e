package main

import (
	"bytes"
	"context"
	_ "embed"
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

// openstackStory is what an operator does with the client; see its head.
//
//go:embed openstack.story
var openstackStory string

// step is one command of the story and what is expected of it.
type step struct {
	line    int
	user    string
	command string
	fails   bool
	expect  []expectation
}

// expectation is one indented line below a command.
type expectation struct {
	key, op, want string
}

// parseStory reads steps; see the head of openstack.story for the form.
func parseStory(text string) ([]step, error) {
	form := regexp.MustCompile(`^ +(.+?) (=|~|>|has|lacks) (.+)$`)
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
			if !last.fails {
				words := form.FindStringSubmatch(line)
				if words == nil {
					return nil, fmt.Errorf("line %d: %q is no expectation", n, line)
				}
				e = expectation{words[1], words[2], words[3]}
			}
			last.expect = append(last.expect, e)
		default:
			s := step{line: n, user: adminUser, command: line}
			s.command, s.fails = strings.CutPrefix(s.command, "! ")
			if rest, ok := strings.CutPrefix(s.command, "@"+demoUser+" "); ok {
				s.user, s.command = demoUser, rest
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// openstack runs the story with the real client.
func (s *stack) openstack(ctx context.Context) ([]result, error) {
	steps, err := parseStory(openstackStory)
	if err != nil {
		return nil, fmt.Errorf("openstack.story: %w", err)
	}
	s.say("openstack: %d commands", len(steps))
	var results []result
	known := map[string]string{}
	for _, st := range steps {
		began := time.Now()
		r := result{Name: strings.TrimPrefix(fmt.Sprintf("%d: openstack %s", st.line, st.command), " "), Status: passed}
		err := s.openstackStep(ctx, st, known)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			r.Status, r.Reason = failed, err.Error()
			s.say("openstack: failed: %s", r.Name)
		}
		r.Seconds = time.Since(began).Seconds()
		results = append(results, r)
	}
	return results, nil
}

// openstackStep runs one command with the values that others left.
func (s *stack) openstackStep(ctx context.Context, st step, known map[string]string) error {
	missing := ""
	fill := func(text string) string {
		return os.Expand(text, func(name string) string {
			if known[name] == "" {
				missing = name
			}
			return known[name]
		})
	}
	args := strings.Fields(fill(st.command))
	if missing != "" {
		return fmt.Errorf("an earlier command did not give ${%s}", missing)
	}
	if len(st.expect) > 0 && !st.fails {
		args = append(args, "-f", "json")
	}
	// The client never takes so long; one that hangs is a failure.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/bin/openstack", args...)
	cmd.Env = append(os.Environ(), append(s.keystone.env(st.user), "PYTHONWARNINGS=ignore")...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if st.fails {
		if err == nil {
			return errors.New("it was expected to fail, and did not")
		}
		return st.compare(nil, complaint.String(), known)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(complaint.String(), 4))
	}
	if len(st.expect) == 0 {
		return nil
	}
	var answer any
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return fmt.Errorf("no JSON: %w: %s", err, lastLines(out.String(), 4))
	}
	for i := range st.expect {
		st.expect[i].want = fill(st.expect[i].want)
	}
	return st.compare(answer, "", known)
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
		case "~":
			var err error
			if matched, err = regexp.MatchString(e.want, got); err != nil {
				errs = append(errs, err)
			}
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
