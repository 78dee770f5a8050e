// Package walk makes docs/walk-through.md and keeps it true: its template is
// prose and commands, the commands are run on a live lab, and what they say is
// put below them. The same walk, done again, must read the same.
package walk

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"time"

	"neutrino/lab"
)

//go:embed walk-through.md.tmpl
var source string

// Script is the walk with the cast's names in it and without any output: what
// there is to say and to type.
func Script(c Cast) (Document, error) {
	t, err := template.New("walk-through").Option("missingkey=error").Parse(source)
	if err != nil {
		return nil, fmt.Errorf("walk: template: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("walk: template: %w", err)
	}
	return Parse(b.String())
}

// Document is prose and blocks of commands in turn.
type Document []Piece

// Piece is prose, or else a block of commands.
type Piece struct {
	Prose string
	Steps []Step
	// Unordered blocks are those whose lines come in any order, which Open
	// vSwitch and ip netns do not promise.
	Unordered bool
}

// Step is a command and what it said.
type Step struct {
	On      string // a host or an instance
	Command string // for its shell
	Output  string // without the last newline
}

const (
	fence     = "```"
	opening   = fence + "console"
	unordered = opening + " unordered" // in the template only
)

// promptForm is a line with a command: "compute1# ovs-vsctl show".
var promptForm = regexp.MustCompile(`^([a-z]+[0-9]*)# (.+)$`)

// Parse takes a document apart.
func Parse(text string) (Document, error) {
	var d Document
	var prose []string
	block := false
	for n, line := range strings.SplitAfter(text, "\n") {
		bare := strings.TrimSuffix(line, "\n")
		last := len(d) - 1
		switch {
		case !block && (bare == opening || bare == unordered):
			d = append(d, Piece{Prose: strings.Join(prose, "")}, Piece{Unordered: bare == unordered})
			prose, block = nil, true
		case !block:
			prose = append(prose, line)
		case bare == fence:
			block = false
		default:
			if m := promptForm.FindStringSubmatch(bare); m != nil {
				d[last].Steps = append(d[last].Steps, Step{On: m[1], Command: m[2]})
				continue
			}
			steps := d[last].Steps
			if len(steps) == 0 {
				return nil, fmt.Errorf("walk: line %d: a block begins with output, want a command", n+1)
			}
			steps[len(steps)-1].Output += line
		}
	}
	if block {
		return nil, fmt.Errorf("walk: the last block does not end")
	}
	for _, p := range d {
		for i := range p.Steps {
			p.Steps[i].Output = strings.TrimSuffix(p.Steps[i].Output, "\n")
		}
	}
	return append(d, Piece{Prose: strings.Join(prose, "")}), nil
}

// String is the document as Markdown.
func (d Document) String() string {
	var b strings.Builder
	for _, p := range d {
		if p.Steps == nil {
			b.WriteString(p.Prose)
			continue
		}
		b.WriteString(opening + "\n")
		for _, s := range p.Steps {
			b.WriteString(s.On + "# " + s.Command + "\n")
			if s.Output != "" {
				b.WriteString(s.Output + "\n")
			}
		}
		b.WriteString(fence + "\n")
	}
	return b.String()
}

// Walk runs every command of a script on a live lab, in its order, and returns
// the document with what they said. A command that fails ends the walk.
func (d Document) Walk(ctx context.Context, l *lab.Lab) (Document, error) {
	var out Document
	for _, p := range d {
		walked := p
		walked.Steps = nil
		for i, s := range p.Steps {
			look := run
			if i > 0 && p.Steps[i-1].On == lab.RoleController {
				look = settled // what the API was asked for is on its way to the hosts
			}
			said, err := look(ctx, l, s)
			if err != nil {
				return nil, err
			}
			s.Output = said
			walked.Steps = append(walked.Steps, s)
		}
		out = append(out, walked)
	}
	return out, nil
}

// quiet is how long an output must stay the same to be what follows from a
// request; agents follow within some ten milliseconds.
const quiet = time.Second

// settled runs a command until what it says stays the same.
func settled(ctx context.Context, l *lab.Lab, s Step) (string, error) {
	last, since := "", time.Now()
	for {
		said, err := run(ctx, l, s)
		if err != nil {
			return "", err
		}
		if said != last {
			last, since = said, time.Now()
		} else if time.Since(since) >= quiet {
			return said, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("walk: %s: %s: does not settle: %w", s.On, s.Command, ctx.Err())
		case <-time.After(quiet / 5):
		}
	}
}

func run(ctx context.Context, l *lab.Lab, s Step) (string, error) {
	if g, err := l.Guest(s.On); err == nil {
		out, err := g.Exec(ctx, s.Command)
		if err != nil {
			return "", fmt.Errorf("walk: %s: %s: %w", s.On, s.Command, err)
		}
		if out.Code != 0 {
			return "", fmt.Errorf("walk: %s: %s: exit code %d: %s", s.On, s.Command, out.Code, out.Stderr)
		}
		return clean(out.Stdout), nil
	}
	h, err := l.Host(s.On)
	if err != nil {
		return "", fmt.Errorf("walk: %s: %w", s.Command, err)
	}
	out, err := h.Run(ctx, "sh", "-c", s.Command)
	if err != nil {
		return "", fmt.Errorf("walk: %w", err)
	}
	return clean(out), nil
}

// clean takes away blanks at the end of lines, which nobody sees.
func clean(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}
