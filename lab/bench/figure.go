package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// figure is one line of the table.
type figure struct {
	name    string
	target  string
	samples int
	p50     time.Duration
	p99     time.Duration
	longest time.Duration
	also    string   // what else was counted
	missed  []string // what is short of the target; none when it is met
}

// take fills in what the samples say.
func (f figure) take(samples []time.Duration) figure {
	f.samples = len(samples)
	f.p50, f.p99, f.longest = quantile(samples, 0.5), quantile(samples, 0.99), quantile(samples, 1)
	return f
}

// atMost notes by how much a time is over its limit.
func (f *figure) atMost(what string, got, limit time.Duration) {
	if got > limit {
		f.missed = append(f.missed, fmt.Sprintf("%s is %s over", what, millis(got-limit)))
	}
}

// atLeast says how many there were in a second, and notes how many are missing.
func (f *figure) atLeast(rate, limit float64) {
	f.also = thousands(int(rate)) + "/s"
	if rate < limit {
		f.missed = append(f.missed, thousands(int(limit-rate))+"/s short")
	}
}

// none notes a count that should have been zero.
func (f *figure) none(what string, n int) {
	if n != 0 {
		f.missed = append(f.missed, fmt.Sprintf("%d %s", n, what))
	}
}

func (f *figure) verdict() string {
	if len(f.missed) == 0 {
		return "kept"
	}
	return "MISSED: " + strings.Join(f.missed, ", ")
}

// quantile is the smallest sample that at least the share q of all samples do
// not exceed.
func quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// render is the table for people, or as docs/performance.md has it.
func render(figures []figure, markdown bool) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"figure", "target", "samples", "p50", "p99", "longest", "also", "verdict"})
	for _, f := range figures {
		t.AppendRow(table.Row{f.name, f.target, f.samples, millis(f.p50), millis(f.p99), millis(f.longest), f.also, f.verdict()})
	}
	if markdown {
		return t.RenderMarkdown()
	}
	return t.Render()
}
