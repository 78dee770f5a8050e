package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// status is how a test ended.
type status string

const (
	passed  status = "passed"
	failed  status = "failed"
	skipped status = "skipped"
)

// result is one test of a client.
type result struct {
	Name    string  `json:"name"`
	Status  status  `json:"status"`
	Reason  string  `json:"reason,omitempty"` // of a failure or a skip
	Seconds float64 `json:"seconds"`
}

// part is what one client had to say.
type part struct {
	Name    string   `json:"name"`
	Passed  int      `json:"passed"`
	Failed  int      `json:"failed"`
	Skipped int      `json:"skipped"`
	Seconds float64  `json:"seconds"`
	Results []result `json:"results"`
}

// report is the outcome of a run.
type report struct {
	Began time.Time `json:"began"`
	Parts []part    `json:"parts"`
}

func (r *report) add(name string, took time.Duration, results []result) {
	p := part{Name: name, Seconds: took.Seconds(), Results: results}
	for _, t := range results {
		switch t.Status {
		case passed:
			p.Passed++
		case failed:
			p.Failed++
		case skipped:
			p.Skipped++
		}
	}
	r.Parts = append(r.Parts, p)
}

// verdict is an error when something failed, or when a client tried nothing:
// a check that cannot fail is none.
func (r *report) verdict() error {
	n := 0
	for _, p := range r.Parts {
		n += p.Failed
		if p.Passed+p.Failed == 0 {
			return fmt.Errorf("%s: not one test ran", p.Name)
		}
	}
	if n > 0 {
		return fmt.Errorf("%d tests failed", n)
	}
	return nil
}

// write prints the report and leaves it as JSON in the directory of results.
func (r *report) write(_ context.Context, o options) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.MkdirAll(o.results, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.results, "report.json"), append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if o.format == "json" {
		_, err = os.Stdout.Write(append(b, '\n'))
		return err
	}
	r.text(os.Stdout, o.verbose)
	return nil
}

// text prints failures and skips with their reasons, and a table last, where
// the eye is.
func (r *report) text(w io.Writer, verbose bool) {
	for _, p := range r.Parts {
		for _, t := range p.Results {
			if t.Status == passed && !verbose {
				continue
			}
			fmt.Fprintf(w, "%-8s %s: %s\n", t.Status, p.Name, t.Name)
			if t.Reason != "" {
				fmt.Fprintln(w, "         "+strings.ReplaceAll(strings.TrimSpace(t.Reason), "\n", "\n         "))
			}
		}
	}
	if len(r.Parts) == 0 {
		return
	}
	fmt.Fprintf(w, "%-15s %7s %7s %7s %9s\n", "client", passed, failed, skipped, "seconds")
	for _, p := range r.Parts {
		fmt.Fprintf(w, "%-15s %7d %7d %7d %9.1f\n", p.Name, p.Passed, p.Failed, p.Skipped, p.Seconds)
	}
}
