package cli

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// yamlOf writes a value as the clients in Python do: keys sorted, lists not
// indented, single quotes where a word would be read as something else.
func yamlOf(v any) string {
	var b strings.Builder
	yamlBlock(&b, v, "")
	return b.String()
}

// yamlBlock writes a value that begins a line; indent stands before its lines.
func yamlBlock(b *strings.Builder, v any, indent string) {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			b.WriteString("[]\n")
			return
		}
		for i, element := range v {
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString("- ")
			yamlBlock(b, element, indent+"  ")
		}
	case object:
		if len(v) == 0 {
			b.WriteString("{}\n")
			return
		}
		sorted := slices.Clone(v)
		slices.SortFunc(sorted, func(a, c member) int { return strings.Compare(a.key, c.key) })
		for i, m := range sorted {
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString(yamlScalar(m.key) + ":")
			yamlValue(b, m.value, indent)
		}
	default:
		b.WriteString(yamlScalar(v) + "\n")
	}
}

// yamlValue writes what stands behind a key.
func yamlValue(b *strings.Builder, v any, indent string) {
	list, isList := v.([]any)
	o, isObject := v.(object)
	switch {
	case isList && len(list) > 0:
		b.WriteString("\n" + indent)
		yamlBlock(b, v, indent)
	case isObject && len(o) > 0:
		b.WriteString("\n" + indent + "  ")
		yamlBlock(b, v, indent+"  ")
	default:
		b.WriteByte(' ')
		yamlBlock(b, v, indent)
	}
}

func yamlScalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return v.String()
	case string:
		return yamlString(v)
	}
	return yamlString(fmt.Sprint(v))
}

// yamlString quotes a string unless it is a plain word that nothing else reads
// as a number, a time, a truth or a null.
func yamlString(s string) string {
	reserved := []string{"y", "n", "yes", "no", "true", "false", "on", "off", "null"}
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		b, err := marshal(s)
		if err != nil {
			return "''"
		}
		return string(b)
	case plainWord(s) && !slices.Contains(reserved, strings.ToLower(s)), looksLikeID(s) && strings.Count(s, "-") == 4, isAddress(s):
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// plainWord says whether nothing in the word means something to YAML.
func plainWord(s string) bool {
	if s == "" || !isLetter(rune(s[0])) && s[0] != '/' {
		return false
	}
	for i, r := range s {
		inside := i < len(s)-1 && s[i+1] != ' '
		if !isLetter(r) && !strings.ContainsRune("0123456789_./@+()-", r) && !(inside && (r == ':' || r == ' ')) {
			return false
		}
	}
	return true
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// isAddress says whether s is an IPv4 address or prefix, whose dots keep it from
// being a number.
func isAddress(s string) bool {
	host, _, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is4()
}
