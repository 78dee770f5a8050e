// Package check walks the seed's document on a running lab: each row of it is
// shown by looking at the system with the command an operator would use, or by
// traffic. It never asks the plan.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"neutrino/lab"
)

// Row is one line of the seed with how to show it.
type Row struct {
	ID   string // "S064"
	Line string // the seed's line
	// Show is the command that shows it, with $names of [Cloud.vars].
	Show string
	// On is where Show runs: "compute", "network" (with the DHCP server),
	// "router", "outside" or "guest".
	On string
	// Want judges what Show printed, and says what is wrong with it.
	Want func(c *Cloud, out string) error
	// Try shows what one command cannot; it replaces On and Want, and returns
	// what was seen.
	Try func(ctx context.Context, c *Cloud) (seen string, err error)
}

// Result is what became of a row.
type Result struct {
	ID   string `json:"id"`
	OK   bool   `json:"ok"`
	Line string `json:"line"`
	Show string `json:"show"`
	Seen string `json:"seen"`
}

// String is the row's line of the report.
func (r Result) String() string {
	verdict := "ok    "
	if !r.OK {
		verdict = "failed"
	}
	return fmt.Sprintf("%s %s line %-8s %s → %s", r.ID, verdict, r.Line, r.Show, r.Seen)
}

// Rows are all rows in the order in which they are tried: first what looks
// only, then what sends traffic, and at the end what restarts and removes.
func Rows() []Row {
	var all []Row
	for _, rows := range [][]Row{setting, instance, integration, tunnel, networkHost, dhcp, router, nat, external, traffic, behaviour, verbs} {
		all = append(all, rows...)
	}
	return all
}

// Run tries the rows whose ids are given, or all of them, and hands each
// result to report as it comes. The error says that the lab could not be
// checked, not that a row failed.
func Run(ctx context.Context, l *lab.Lab, ids []string, report func(Result)) (failed int, err error) {
	c, err := survey(ctx, l)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.tidy(context.WithoutCancel(ctx))) }()
	for _, row := range Rows() {
		if !wanted(row.ID, ids) {
			continue
		}
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		r := c.try(ctx, row)
		if !r.OK {
			failed++
		}
		report(r)
	}
	return failed, nil
}

func wanted(id string, ids []string) bool {
	for _, w := range ids {
		if w == id {
			return true
		}
	}
	return len(ids) == 0
}

// try shows one row.
func (c *Cloud) try(ctx context.Context, row Row) Result {
	r := Result{ID: row.ID, Line: row.Line, Show: c.expand(row.Show)}
	var err error
	if row.Try != nil {
		r.Seen, err = row.Try(ctx, c)
		r.Seen = strings.Join(strings.Fields(c.expand(r.Seen)), " ")
	} else {
		var out string
		out, err = c.sh(ctx, row.On, row.Show)
		r.Seen = brief(out)
		if err == nil {
			err = row.Want(c, out)
		}
	}
	r.OK = err == nil
	if err != nil {
		r.Seen = strings.TrimSpace(brief(err.Error()) + "; saw: " + r.Seen)
	}
	return r
}

// brief is the first lines of an output on one line.
func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 240 {
		s = s[:240] + "…"
	}
	return s
}

// Print writes results as lines.
func Print(w io.Writer) func(Result) { return func(r Result) { fmt.Fprintln(w, r) } }
