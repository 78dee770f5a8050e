package ovsdb

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// The notation of RFC 7047 section 5.1: a set is ["set",[…]] or one bare
// atom, a map ["map",[[k,v],…]], a row's name ["uuid",u] or ["named-uuid",n].

// atoms are the elements of a column as text, in the server's order.
func atoms(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if raw[0] != '[' {
		a, err := atom(raw)
		return []string{a}, err
	}
	tag, body, err := tagged(raw)
	if err != nil {
		return nil, err
	}
	if tag != "set" {
		a, err := atom(raw)
		return []string{a}, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(body, &elements); err != nil {
		return nil, fmt.Errorf("ovsdb: set: %w", err)
	}
	var out []string
	for _, e := range elements {
		a, err := atom(e)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func atom(raw json.RawMessage) (string, error) {
	switch {
	case len(raw) == 0:
		return "", fmt.Errorf("ovsdb: empty atom")
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case raw[0] == '[':
		tag, body, err := tagged(raw)
		if err != nil {
			return "", err
		}
		if tag != "uuid" && tag != "named-uuid" {
			return "", fmt.Errorf("ovsdb: unexpected %q for an atom", tag)
		}
		return atom(body)
	}
	return string(raw), nil // number or boolean
}

func tagged(raw json.RawMessage) (string, json.RawMessage, error) {
	var pair []json.RawMessage
	if err := json.Unmarshal(raw, &pair); err != nil {
		return "", nil, fmt.Errorf("ovsdb: value: %w", err)
	}
	if len(pair) != 2 {
		return "", nil, fmt.Errorf("ovsdb: value of %d parts", len(pair))
	}
	tag, err := atom(pair[0])
	return tag, pair[1], err
}

// pairs is a column that is a map of strings.
func pairs(raw json.RawMessage) (map[string]string, error) {
	out := map[string]string{}
	if len(raw) == 0 {
		return out, nil
	}
	tag, body, err := tagged(raw)
	if err != nil {
		return nil, err
	}
	if tag != "map" {
		return nil, fmt.Errorf("ovsdb: unexpected %q for a map", tag)
	}
	var entries [][2]json.RawMessage
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, fmt.Errorf("ovsdb: map: %w", err)
	}
	for _, e := range entries {
		k, err := atom(e[0])
		if err != nil {
			return nil, err
		}
		if out[k], err = atom(e[1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func wireSet[T any](elements ...T) any {
	if elements == nil {
		elements = []T{}
	}
	return []any{"set", elements}
}

func wireMap(m map[string]string) any {
	entries := [][2]string{}
	for _, k := range keysOf(m) {
		entries = append(entries, [2]string{k, m[k]})
	}
	return []any{"map", entries}
}

func wireUUID(u string) any { return []any{"uuid", u} }

func wireNamed(n string) any { return []any{"named-uuid", n} }

// text is a map in the form of host's states: sorted "key=value", joined by ",".
func text(m map[string]string) string {
	var b strings.Builder
	for i, k := range keysOf(m) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + m[k])
	}
	return b.String()
}

// untext is what text wrote.
func untext(s string) map[string]string {
	m := map[string]string{}
	for _, e := range list(s) {
		k, v, _ := strings.Cut(e, "=")
		m[k] = v
	}
	return m
}

// list takes a comma separated text apart; of "" nothing remains.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// only is the part of a map that has the keys.
func only(m map[string]string, keys []string) map[string]string {
	out := map[string]string{}
	for _, k := range keys {
		if v, ok := m[k]; ok {
			out[k] = v
		}
	}
	return out
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
