package bounds

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The longest texts in a line of the log, bytes: an attribute, and a stack.
const (
	LongestField = 512
	longestStack = 16 << 10
	stackField   = "stack"
)

// Cut is a text as it may stand in a log.
func Cut(text string) string { return cut(text, LongestField) }

func cut(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	end := longest
	for end > longest-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// Fields cuts the texts of a log's lines: what a client sends may be in any of them.
// It is for [slog.HandlerOptions].
func Fields(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		longest := LongestField
		if a.Key == stackField {
			longest = longestStack
		}
		a.Value = slog.StringValue(cut(a.Value.String(), longest))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(cut(err.Error(), LongestField))
		}
	}
	return a
}

// RequestID is the request id that a client may hand on, "" if it is none: req- and
// what a UUID is made of, as in OpenStack's own (oslo.middleware, request_id).
func RequestID(header string) string {
	const prefix, uuid = "req-", 36
	rest, ok := strings.CutPrefix(header, prefix)
	if !ok || len(rest) != uuid {
		return ""
	}
	for _, c := range rest {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') && c != '-' {
			return ""
		}
	}
	return header
}

// Lines is how many lines of the log a source may have: so many at once, and so
// many each second.
type Lines struct{ Burst, Rate float64 }

// Meter lets the lines of a source through as long as it has not had too many, and
// says how many there were beyond.
type Meter struct {
	lines Lines
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	sources map[string]*quantity
	swept   time.Time
}

// quantity is what a source may still write.
type quantity struct {
	left   float64
	at     time.Time
	beyond int
}

// The sources that a meter knows at once, and how often it looks for those that
// have been quiet.
const (
	mostSources = 10_000
	sweepEvery  = 10 * time.Second
)

// NewMeter makes a meter that says in log what it held back.
func NewMeter(lines Lines, log *slog.Logger) *Meter {
	return &Meter{lines: lines, log: log, now: time.Now, sources: map[string]*quantity{}}
}

// Allow reports whether the source may have another line, and counts it if not. It
// writes now and then how many were not.
func (m *Meter) Allow(ctx context.Context, source string) bool {
	ok, said := m.admit(source)
	for _, s := range said {
		m.log.LogAttrs(ctx, slog.LevelWarn, "lines suppressed: too many of one source",
			slog.String("source", s.source), slog.Int("lines", s.lines))
	}
	return ok
}

// suppressed is what is said of a source.
type suppressed struct {
	source string
	lines  int
}

func (m *Meter) admit(source string) (bool, []suppressed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	said := m.sweep(now)
	q := m.sources[source]
	if q == nil {
		if len(m.sources) >= mostSources {
			source = "others"
			q = m.sources[source]
		}
		if q == nil {
			q = &quantity{left: m.lines.Burst, at: now}
			m.sources[source] = q
		}
	}
	q.left = min(m.lines.Burst, q.left+m.lines.Rate*now.Sub(q.at).Seconds())
	q.at = now
	if q.left < 1 {
		q.beyond++
		return false, said
	}
	q.left--
	return true, said
}

// sweep says what was suppressed since the last time, and forgets who is quiet.
func (m *Meter) sweep(now time.Time) []suppressed {
	if now.Sub(m.swept) < sweepEvery {
		return nil
	}
	m.swept = now
	var said []suppressed
	for source, q := range m.sources {
		if q.beyond > 0 {
			said = append(said, suppressed{source, q.beyond})
			q.beyond = 0
		} else if q.left+m.lines.Rate*now.Sub(q.at).Seconds() >= m.lines.Burst {
			delete(m.sources, source)
		}
	}
	return said
}
