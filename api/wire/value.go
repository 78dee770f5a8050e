package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"neutrino"
)

// The forms of times on the wire: Neutron's agents use their own
// (api.md sections 1.2 and 2.21).
const (
	timeForm      = "2006-01-02T15:04:05Z"
	AgentTimeForm = "2006-01-02 15:04:05"
)

// AsString gives every kind of text one Go form: a pointer to string for a
// pointer to any of the nouns' text types, else nil.
func AsString(p any) *string {
	switch v := p.(type) {
	case *string:
		return v
	case *neutrino.ID:
		return (*string)(v)
	case *neutrino.NetworkType:
		return (*string)(v)
	case *neutrino.PortStatus:
		return (*string)(v)
	case *neutrino.Direction:
		return (*string)(v)
	case *neutrino.EtherType:
		return (*string)(v)
	case *neutrino.IPv6Mode:
		return (*string)(v)
	case *neutrino.BindingStatus:
		return (*string)(v)
	case *neutrino.RBACAction:
		return (*string)(v)
	}
	return nil
}

// Text is the one spelling of a plain value, by which filters compare. A list
// has none.
func Text(p any) string {
	if s := AsString(p); s != nil {
		return *s
	}
	switch v := p.(type) {
	case *bool:
		return strconv.FormatBool(*v)
	case *int:
		return strconv.Itoa(*v)
	case *int64:
		return strconv.FormatInt(*v, 10)
	case **int:
		if *v != nil {
			return strconv.Itoa(**v)
		}
	case *neutrino.MAC:
		if !v.IsZero() {
			return v.String()
		}
	case *netip.Addr:
		if v.IsValid() {
			return v.String()
		}
	case *netip.Prefix:
		if v.IsValid() {
			return v.String()
		}
	case *time.Time:
		return v.UTC().Format(timeForm)
	}
	return ""
}

// Compare orders two values of one attribute: numbers, addresses and times by
// size, everything else by its spelling.
func Compare(p, q any) int {
	switch v := p.(type) {
	case *int:
		return cmp.Compare(*v, *q.(*int))
	case *int64:
		return cmp.Compare(*v, *q.(*int64))
	case **int:
		w := *q.(**int)
		if *v == nil || w == nil {
			return cmp.Compare(boolInt(*v != nil), boolInt(w != nil))
		}
		return cmp.Compare(**v, *w)
	case *neutrino.MAC:
		w := q.(*neutrino.MAC)
		return bytes.Compare(v[:], w[:])
	case *netip.Addr:
		return v.Compare(*q.(*netip.Addr))
	case *netip.Prefix:
		w := q.(*netip.Prefix)
		return cmp.Or(v.Addr().Compare(w.Addr()), cmp.Compare(v.Bits(), w.Bits()))
	case *time.Time:
		return v.Compare(*q.(*time.Time))
	case *[]string:
		return strings.Compare(strings.Join(*v, ","), strings.Join(*q.(*[]string), ","))
	}
	return strings.Compare(Text(p), Text(q))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// longestShown is how many bytes of a value a message repeats.
const longestShown = 1024

// Show is a JSON value in a message: as [spell] writes it, but not longer than
// a reader wants.
func Show(raw any) string {
	s := Spell(raw)
	if len(s) > longestShown {
		return strings.ToValidUTF8(s[:longestShown], "") + "…"
	}
	return s
}

// Spell is a JSON value as Neutron's messages write it: Python's None, True and
// False, text bare, everything else as JSON.
func Spell(raw any) string {
	switch v := raw.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return v
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return "?"
	}
	return string(b)
}

// Object is a JSON object as a client sent it. Numbers are json.Number.
type Object = map[string]any
