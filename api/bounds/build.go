package bounds

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Build makes a value of a body that [Check] has let pass, as encoding/json with
// UseNumber does: map[string]any, []any, string, json.Number, bool or nil. Unlike
// that it calls pause now and then, so that 4 MB are not one stretch of work. The
// error is a *[Refused], or pause's.
func Build(body []byte, pause func() error) (any, error) {
	b := &builder{scanner{text: body, next: stretch, pause: pause}}
	b.space()
	v, err := b.any()
	if err != nil {
		return nil, err
	}
	if b.space(); b.at != len(b.text) {
		return nil, errSyntax
	}
	return v, nil
}

// builder is a scanner that keeps what it finds.
type builder struct{ scanner }

func (b *builder) any() (any, error) {
	if b.at >= b.next {
		b.next = b.at + stretch
		if err := b.pause(); err != nil {
			return nil, err
		}
	}
	start := b.at
	switch c := b.peek(); {
	case c == '{':
		return b.fields()
	case c == '[':
		return b.elements()
	case c == '"':
		return b.unescaped()
	case c == '-' || c >= '0' && c <= '9':
		_ = b.number() // always nil
		if text := b.text[start:b.at]; isNumber(text) {
			return json.Number(text), nil
		}
		return nil, errSyntax
	case bytes.HasPrefix(b.text[b.at:], []byte("true")):
		b.at += 4
		return true, nil
	case bytes.HasPrefix(b.text[b.at:], []byte("false")):
		b.at += 5
		return false, nil
	case bytes.HasPrefix(b.text[b.at:], []byte("null")):
		b.at += 4
		return nil, nil
	}
	return nil, errSyntax
}

func (b *builder) fields() (any, error) {
	o := map[string]any{}
	err := b.each(func(name string) error {
		v, err := b.any()
		o[name] = v
		return err
	})
	return o, err
}

// each goes over an object; value takes each value.
func (b *builder) each(value func(name string) error) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer func() { b.depth-- }()
	if b.peek() == '}' {
		b.at++
		return nil
	}
	for {
		name, err := b.unescaped()
		if err != nil {
			return err
		}
		if b.space(); b.peek() != ':' {
			return errSyntax
		}
		b.at++
		b.space()
		if err := value(name); err != nil {
			return err
		}
		if more, err := b.more('}'); !more {
			return err
		}
	}
}

func (b *builder) elements() (any, error) {
	l := []any{}
	err := b.list(func() error {
		v, err := b.any()
		l = append(l, v)
		return err
	})
	return l, err
}

// unescaped is a text as it is meant. What is no UTF-8 in it becomes U+FFFD, as in
// encoding/json.
func (b *builder) unescaped() (string, error) {
	start := b.at
	raw, err := b.string()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw), nil
	}
	var text string
	if err := json.Unmarshal(b.text[start:b.at], &text); err != nil {
		return "", errSyntax
	}
	return text, nil
}

// isNumber reports whether the text is a number of JSON (RFC 8259, section 6).
func isNumber(text []byte) bool { return json.Valid(text) }
