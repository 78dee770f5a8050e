package bounds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestALineOfTheLogIsShort(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: Fields}))
	long := strings.Repeat("é", 450_000)
	log.Info("request", "uri", long, "error", errors.New(long), slog.Group("in", slog.String("a", long)))
	if b.Len() > 4*LongestField {
		t.Errorf("%d bytes", b.Len())
	}
	if got := Cut(long); !strings.HasSuffix(got, "é…") {
		t.Errorf("cut to …%q", got[len(got)-8:])
	}
}

func TestARequestIDIsOne(t *testing.T) {
	good := "req-0a1b2c3d-0000-4000-8000-00000000000F"
	for header, want := range map[string]string{
		good: good, "": "", "req-": "", "x": "", good + "0": "", strings.Repeat("x", 300_000): "", "req-0a1b2c3d-0000-4000-8000-00000000000g": "",
	} {
		if got := RequestID(header); got != want {
			t.Errorf("%.50q: %q", header, got)
		}
	}
}

// A source that sends very much has a line in the log now and then, and a sum;
// another's lines are all there.
func TestOneSourceDoesNotFillTheLog(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(1000, 0)
	log := slog.New(slog.NewTextHandler(&b, nil))
	m := NewMeter(Lines{Burst: 20, Rate: 2}, log)
	line := func(source string, fields ...any) {
		if m.Allow(context.Background(), source) {
			log.Info("request", fields...)
		}
	}
	m.now = func() time.Time { return now }
	for i := range 10_000 {
		line("crowd")
		if i%1000 == 0 {
			line("other", "i", i)
		}
		now = now.Add(time.Millisecond)
	}
	now = now.Add(sweepEvery)
	line("other", "i", 10_000)
	if lines := strings.Count(b.String(), "\n"); lines > 20+20+11+3 {
		t.Errorf("%d lines:\n%s", lines, b.String())
	}
	for i := 0; i <= 10_000; i += 1000 {
		if !strings.Contains(b.String(), fmt.Sprintf("i=%d\n", i)) {
			t.Errorf("line %d of the other is missing", i)
		}
	}
	if !strings.Contains(b.String(), "source=crowd lines=99") {
		t.Errorf("no sum of what is missing:\n%s", b.String())
	}
	now = now.Add(time.Hour)
	line("other")
	if len(m.sources) > 2 {
		t.Errorf("%d sources are known", len(m.sources))
	}
}
