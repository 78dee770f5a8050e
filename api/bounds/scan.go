// Package bounds says how large what a client sends may be, and finds out before
// it costs anything: bodies are looked through before values are made of them,
// names and addresses before they are repeated in a log.
package bounds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The bounds of a body's JSON.
const (
	// Deepest is how many arrays and objects may lie in each other: a port's
	// binding:profile is the one attribute that nests, in four of its own.
	Deepest = 32
	// MostItems is how many objects one request may create.
	MostItems = 10_000
	// longestName is how many bytes the name of an attribute may have.
	longestName = 255
	// mostUnknown is how many unknown names a refusal repeats.
	mostUnknown = 8
)

// What values cost in memory besides their text, bytes: measured with Go's maps
// and slices of any.
const (
	costObject = 400 // a map with room for eight names
	costName   = 80  // a place in a map that has more
	costValue  = 64  // a place in a slice, and the number, text or list in it
)

// Shape is what a body may say: {"<One>": {…}} or {"<Many>": [{…}, …]}, with
// attributes that Knows. The zero shape says nothing about names.
type Shape struct {
	One, Many string
	Knows     func(attribute string) bool
}

// Refused is a body that is refused without any value being made of it.
type Refused struct {
	// Unknown are names of attributes that the shape does not know, of the first
	// object that has any.
	Unknown []string
	Reason  string // where it is something else
}

// Error is the reason.
func (r *Refused) Error() string {
	if r.Reason != "" {
		return r.Reason
	}
	return fmt.Sprintf("unknown attributes %q", r.Unknown)
}

// errSyntax is a text that is not JSON.
var errSyntax = &Refused{Reason: "Body contains invalid data"}

// stretch is how many bytes are looked through between two pauses.
const stretch = 32 << 10

// scanner goes through JSON text once.
type scanner struct {
	text  []byte
	at    int
	next  int // where the next pause is
	cost  int64
	shape Shape
	many  bool // the object is one of several
	depth int
	pause func() error
}

// Check looks through a body before anything is made of it. It says how much
// memory its values will take, about, or refuses the body with a *[Refused]. pause
// is called now and then; its error ends the work.
func Check(body []byte, shape Shape, pause func() error) (int64, error) {
	s := &scanner{text: body, next: stretch, shape: shape, pause: pause}
	s.space()
	if err := s.value(s.top); err != nil {
		return 0, err
	}
	s.space()
	if s.at != len(s.text) {
		return 0, errSyntax
	}
	return s.cost, nil
}

// names looks at each name of an object and says how to look at the value; nil
// means like any other.
type names func(name []byte) func() error

// top are the names around the objects.
func (s *scanner) top(name []byte) func() error {
	switch {
	case s.shape.Knows == nil:
	case string(name) == s.shape.One:
		return s.object
	case string(name) == s.shape.Many:
		return s.items
	}
	return nil
}

// object is one object whose names are known.
func (s *scanner) object() error {
	var unknown []string
	err := s.value(func(name []byte) func() error {
		n := unquoted(name)
		if s.many && n == s.shape.One {
			return s.object // each may be wrapped again
		}
		if !s.shape.Knows(n) && len(unknown) < mostUnknown {
			unknown = append(unknown, n)
		}
		return nil
	})
	if err == nil && len(unknown) > 0 {
		return &Refused{Unknown: unknown}
	}
	return err
}

// items is a list of objects.
func (s *scanner) items() error {
	if s.peek() != '[' {
		return s.value(nil) // refused later, by what it should be
	}
	s.many = true
	n := 0
	return s.list(func() error {
		if n++; n > MostItems {
			return &Refused{Reason: fmt.Sprintf("The request has more than %d objects: send several requests", MostItems)}
		}
		return s.object()
	})
}

// value goes over one value. of looks at the names, if it is an object.
func (s *scanner) value(of names) error {
	if s.at >= s.next {
		s.next = s.at + stretch
		if err := s.pause(); err != nil {
			return err
		}
	}
	s.cost += costValue
	switch c := s.peek(); {
	case c == '{':
		return s.members(of)
	case c == '[':
		return s.list(func() error { return s.value(nil) })
	case c == '"':
		text, err := s.string()
		s.cost += int64(len(text))
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.text[s.at:], []byte(word)) {
			s.at += len(word)
			return nil
		}
	}
	return errSyntax
}

// enter goes one deeper.
func (s *scanner) enter() error {
	s.at++
	if s.depth++; s.depth > Deepest {
		return &Refused{Reason: fmt.Sprintf("The body has more than %d lists and objects inside each other", Deepest)}
	}
	s.space()
	return nil
}

// members goes over an object.
func (s *scanner) members(of names) error {
	s.cost += costObject
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == '}' {
		s.at++
		return nil
	}
	for {
		name, err := s.string()
		if err != nil {
			return err
		}
		if len(name) > longestName {
			return &Refused{Reason: fmt.Sprintf("The name of an attribute has more than %d bytes", longestName)}
		}
		s.cost += costName + int64(len(name))
		s.space()
		if s.peek() != ':' {
			return errSyntax
		}
		s.at++
		s.space()
		look := func() error { return s.value(nil) }
		if of != nil {
			if f := of(name); f != nil {
				look = f
			}
		}
		if err := look(); err != nil {
			return err
		}
		if more, err := s.more('}'); !more {
			return err
		}
	}
}

// list goes over an array, whose values item goes over.
func (s *scanner) list(item func() error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.peek() == ']' {
		s.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if more, err := s.more(']'); !more {
			return err
		}
	}
}

// more goes over a comma, or over the end.
func (s *scanner) more(end byte) (bool, error) {
	s.space()
	c := s.peek()
	s.at++
	switch c {
	case ',':
		s.space()
		return true, nil
	case end:
		return false, nil
	}
	return false, errSyntax
}

// peek is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// string goes over a text and gives what is between its quotes, escapes and all.
func (s *scanner) string() ([]byte, error) {
	if s.peek() != '"' {
		return nil, errSyntax
	}
	s.at++
	for start := s.at; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[start : s.at-1], nil
		case c == '\\':
			s.at++
		case c < ' ':
			return nil, errSyntax
		}
	}
	return nil, errSyntax
}

// number goes over a number; whether it is one, who makes a value of it finds out.
func (s *scanner) number() error {
	for start := s.at; ; s.at++ {
		switch c := s.peek(); {
		case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			continue
		}
		s.cost += int64(s.at - start)
		return nil
	}
}

// unquoted is the text that stands between quotes in JSON.
func unquoted(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw)
	}
	var text string
	if err := json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &text); err != nil {
		return string(raw)
	}
	return text
}

// IsRefused is the refusal in an error, if it is one.
func IsRefused(err error) (*Refused, bool) {
	var r *Refused
	ok := errors.As(err, &r)
	return r, ok
}
