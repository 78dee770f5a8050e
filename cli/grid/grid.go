// Package grid draws a table with the lines and the widths of openstackclient.
// It stands outside the line: it knows text, no object.
package grid

import (
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/sys/unix"
)

// Table is what is drawn.
type Table struct {
	Header []string
	Rows   [][]string
	Right  []bool // columns that are set to the right, as numbers are
	// Least is the width below which no column is squeezed, in characters.
	Least int
}

// Limits say how wide a table may become.
type Limits struct {
	// MaxWidth is the greatest width in characters; 0 and less is none.
	MaxWidth int
	// Fit squeezes the table into the terminal that it is printed on.
	Fit bool
	// Empty prints the header where there is no row.
	Empty bool
}

// FromEnvironment are the limits that CLIFF_MAX_TERM_WIDTH and CLIFF_FIT_WIDTH
// set, as for openstackclient. What is no number sets nothing.
func FromEnvironment(get func(string) string) Limits {
	width, err := strconv.Atoi(get("CLIFF_MAX_TERM_WIDTH"))
	if err != nil {
		width = 0
	}
	fit, err := strconv.Atoi(get("CLIFF_FIT_WIDTH"))
	return Limits{MaxWidth: width, Fit: err == nil && fit != 0}
}

// Draw is the table as text, without a line break at its end.
func (t Table) Draw(l Limits) string {
	if len(t.Rows) == 0 && !l.Empty {
		return ""
	}
	widths := t.widths()
	if total := l.total(); total > 0 {
		t.squeeze(widths, total)
	}
	w := table.NewWriter()
	style := table.StyleDefault
	style.Format.Header = text.FormatDefault
	w.SetStyle(style)
	var header table.Row
	var configs []table.ColumnConfig
	for i, title := range t.Header {
		header = append(header, title)
		align := text.AlignLeft
		if i < len(t.Right) && t.Right[i] {
			align = text.AlignRight
		}
		// A column that was squeezed keeps its width, also where its lines end before it.
		configs = append(configs, table.ColumnConfig{Number: i + 1, Align: align, AlignHeader: align, WidthMin: widths[i]})
	}
	w.AppendHeader(header)
	w.SetColumnConfigs(configs)
	for _, row := range t.Rows {
		var cells table.Row
		for i, cell := range row {
			cells = append(cells, wrap(cell, widths[i]))
		}
		w.AppendRow(cells)
	}
	return w.Render()
}

// total is the width that the whole may have, 0 for any.
func (l Limits) total() int {
	if l.MaxWidth > 0 {
		return l.MaxWidth
	}
	if !l.Fit {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0 // no terminal
	}
	return int(size.Col)
}

// widths are the widths of the columns as they are.
func (t Table) widths() []int {
	widths := make([]int, len(t.Header))
	for i, title := range t.Header {
		widths[i] = text.StringWidthWithoutEscSequences(title)
	}
	for _, row := range t.Rows {
		for i, cell := range row {
			for line := range strings.Lines(cell) {
				widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(strings.TrimRight(line, "\n")))
			}
		}
	}
	return widths
}

// squeeze makes columns narrower: those that have more than their equal share
// of the whole divide what the others leave. None becomes narrower than its
// title.
func (t Table) squeeze(widths []int, total int) {
	const border = 3 // two blanks and a line for each column, and one line more
	usable, all := max(0, total-1-border*len(widths)), 1+border*len(widths)
	for _, w := range widths {
		all += w
	}
	if all <= total {
		return
	}
	share, left := usable/len(widths), usable
	var wide []int
	for i, w := range widths {
		if w <= share {
			left -= w
		} else {
			wide = append(wide, i)
		}
	}
	each := left / len(wide)
	for n, i := range wide {
		if n == len(wide)-1 {
			each = left // and what the division left over
		}
		left -= each
		widths[i] = min(widths[i], max(t.Least, each, text.StringWidthWithoutEscSequences(t.Header[i])))
	}
}

// wrap breaks lines that are wider than so many characters: at blanks, behind
// hyphens between letters, and else where they end, as Python's textwrap does.
func wrap(cell string, width int) string {
	var out []string
	for _, line := range strings.Split(cell, "\n") {
		if text.StringWidthWithoutEscSequences(line) <= width {
			out = append(out, line)
			continue
		}
		current := ""
		for _, chunk := range chunks(line) {
			for {
				room := width - text.StringWidthWithoutEscSequences(current)
				n := text.StringWidthWithoutEscSequences(chunk)
				if n <= room {
					if current != "" || strings.TrimSpace(chunk) != "" || len(out) == 0 {
						current += chunk
					}
					break
				}
				if n > width && room > 0 { // it fits nowhere as a whole
					head := cut(chunk, room)
					current += head
					chunk = chunk[len(head):]
				}
				out = append(out, strings.TrimRight(current, " "))
				current = ""
			}
		}
		if current = strings.TrimRight(current, " "); current != "" {
			out = append(out, current)
		}
	}
	return strings.Join(out, "\n")
}

// chunks are the pieces of a line that are not broken: words, the parts of
// hyphenated words, and blanks.
func chunks(line string) []string {
	var out []string
	runes := []rune(line)
	from := 0
	for i := 1; i <= len(runes); i++ {
		end := i == len(runes)
		if !end && (unicode.IsSpace(runes[i]) == unicode.IsSpace(runes[i-1])) && !hyphenated(runes, i) {
			continue
		}
		out = append(out, string(runes[from:i]))
		from = i
	}
	return out
}

// hyphenated reports whether a word may be broken before a place: behind the
// hyphen of two letters, and before two letters.
func hyphenated(runes []rune, at int) bool {
	letter := func(i int) bool { return i >= 0 && i < len(runes) && (unicode.IsLetter(runes[i]) || runes[i] == '_') }
	return runes[at-1] == '-' && letter(at-2) && letter(at-3) && letter(at) && (letter(at+1) || at+1 < len(runes) && runes[at+1] == '-' && letter(at+2))
}

// cut is as much of a word as fits, up to its last hyphen if it has one there.
func cut(word string, width int) string {
	end, w := 0, 0
	for i, r := range word {
		if w += text.RuneWidth(r); w > width && i > 0 {
			break
		}
		end = i + len(string(r))
	}
	if i := strings.LastIndexByte(word[:end], '-'); i > 0 && strings.Trim(word[:i], "-") != "" {
		end = i + 1
	}
	return word[:end]
}
