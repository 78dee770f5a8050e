package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// plan runs the pure benchmark, which makes the plan of a host with 500 ports
// and compares it with the one before.
func (b *bench) plan(ctx context.Context) ([]figure, error) {
	const name = "BenchmarkPlan500"
	cmd := exec.CommandContext(ctx, "go", "test", "./plan", "-run", "^$", "-bench", "^"+name+"$", "-benchtime", "200x")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	m, err := metrics(out.String(), name)
	if err != nil {
		return nil, err
	}
	took := func(unit string) time.Duration { return time.Duration(m[unit] * float64(time.Millisecond)) }
	f := figure{
		name: "host with 500 ports: plan and diff", target: "≤ 60 ms", samples: int(m["runs"]),
		p50: took("p50-ms"), p99: took("p99-ms"), longest: took("max-ms"),
		also: fmt.Sprintf("%.0f flows, %.0f chains", m["flows"], m["chains"]),
	}
	if f.p50 == 0 {
		return nil, fmt.Errorf("%s reports no median:\n%s", name, out.String())
	}
	f.atMost("p99", f.p99, 60*time.Millisecond)
	return []figure{f}, nil
}

// metrics are the numbers on a benchmark's line of `go test -bench`, by unit;
// "runs" is how often it ran.
func metrics(out, benchmark string) (map[string]float64, error) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if name, _, _ := strings.Cut(fields[0], "-"); name != benchmark {
			continue
		}
		m := map[string]float64{}
		pairs := append([]string{fields[1], "runs"}, fields[2:]...)
		for i := 0; i+1 < len(pairs); i += 2 {
			n, err := strconv.ParseFloat(pairs[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q is no number", benchmark, pairs[i])
			}
			m[pairs[i+1]] = n
		}
		return m, nil
	}
	return nil, fmt.Errorf("%s did not run:\n%s", benchmark, out)
}
