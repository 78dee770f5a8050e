package main

import (
	"strings"
	"testing"
	"time"
)

func TestQuantilesAreSamplesThatWereSeen(t *testing.T) {
	var hundred []time.Duration
	for i := 100; i > 0; i-- {
		hundred = append(hundred, time.Duration(i)*time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(hundred, q); got != want*time.Millisecond {
			t.Errorf("quantile %v is %v, want %d ms", q, got, want)
		}
	}
	if got := quantile([]time.Duration{7}, 0.99); got != 7 {
		t.Errorf("of one sample: %v", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of none: %v", got)
	}
}

func TestAMissedFigureSaysByHowMuch(t *testing.T) {
	f := figure{name: "x"}.take([]time.Duration{10 * time.Millisecond, 80 * time.Millisecond})
	f.atMost("p50", f.p50, 30*time.Millisecond)
	f.atMost("p99", f.p99, 50*time.Millisecond)
	f.none("packets lost", 0)
	f.none("flow-mods", 3)
	if got, want := f.verdict(), "MISSED: p99 is 30.0 ms over, 3 flow-mods"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	kept := figure{name: "y"}
	kept.atMost("p50", f.longest, 80*time.Millisecond)
	out := render([]figure{f, kept}, true)
	if !strings.Contains(out, "MISSED") || !strings.Contains(out, "| kept |") {
		t.Errorf("table:\n%s", out)
	}
}

func TestMetricsOfABenchmarkAreRead(t *testing.T) {
	out := "goos: linux\nBenchmarkPlan500-2   \t      39\t  26552411 ns/op\t      2984 chains\t 25.5 p50-ms\t 31 p99-ms\nPASS\n"
	m, err := metrics(out, "BenchmarkPlan500")
	if err != nil || m["p50-ms"] != 25.5 || m["p99-ms"] != 31 || m["runs"] != 39 || m["chains"] != 2984 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := metrics(out, "BenchmarkPlan"); err == nil {
		t.Error("a benchmark that did not run has metrics")
	}
}
