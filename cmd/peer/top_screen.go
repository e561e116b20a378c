package main

// This file answers: how does the live screen of top take keys, and fit into a
// terminal?

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/braidway/braidway/internal/node"
)

// topModel is the live screen.
type topModel struct {
	data          *topData
	style         topStyle
	width, height int // of the terminal; 0: not known yet
	top           int // first line that is seen
	paused, help  bool
	held          []tea.Msg // what came while paused
	left          int       // frames until the end; less than 0: no end
}

func newTopModel(d *topData, style topStyle, count int) *topModel {
	if count == 0 {
		count = -1
	}
	return &topModel{data: d, style: style, left: count}
}

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return nil }

// maxHeld bounds what is kept for the end of a pause.
const maxHeld = 1000

// Update implements tea.Model.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topSample, node.TraceEvent:
		if m.paused {
			if m.held = append(m.held, msg); len(m.held) > maxHeld {
				m.held = m.held[1:]
			}
			return m, nil
		}
		m.take(msg)
		if m.left == 0 {
			return m, tea.Quit
		}
	case tea.KeyMsg:
		return m.key(msg.String())
	}
	m.scroll(0)
	return m, nil
}

func (m *topModel) take(msg tea.Msg) {
	switch msg := msg.(type) {
	case topSample:
		m.data.take(msg)
		m.left = max(m.left-1, -1)
	case node.TraceEvent:
		m.data.event(msg)
	}
}

func (m *topModel) key(name string) (tea.Model, tea.Cmd) {
	page := max(m.height-2, 1)
	switch name {
	case "q", "esc", "ctrl+c":
		if name == "esc" && m.help {
			m.help = false
			return m, nil
		}
		return m, tea.Quit
	case "?", "h":
		m.help = !m.help
	case "p", " ":
		if m.paused = !m.paused; !m.paused {
			for _, msg := range m.held {
				m.take(msg)
			}
			m.held = nil
		}
	case "up", "k":
		m.scroll(-1)
	case "down", "j":
		m.scroll(1)
	case "pgup", "b":
		m.scroll(-page)
	case "pgdown", "f":
		m.scroll(page)
	case "home", "g":
		m.top = 0
	case "end", "G":
		m.scroll(1 << 20)
	}
	return m, nil
}

// scroll moves the frame, within its lines.
func (m *topModel) scroll(by int) {
	most := 0
	if m.height > 0 {
		most = max(0, len(m.body())-(m.height-1))
	}
	m.top = min(max(m.top+by, 0), most)
}

const topHelp = `↑ ↓  k j       one line up, down
PgUp PgDn  b f one page up, down
Home End  g G  to the beginning, to the end
p  space       pause, and go on
?  h           this help
q  Esc  Ctrl-C quit

STATE is how the stripe's parent stands: fed, silent (nothing was heard of it for
so long), starved (it is alive but stands still), none. DEPTH counts the peers from
the publisher down. Events are told in docs/admin.md.`

func (m *topModel) body() []string {
	if m.help {
		return strings.Split(topHelp, "\n")
	}
	return m.data.lines(m.style, m.width, topEvents)
}

// View implements tea.Model.
func (m *topModel) View() string {
	lines := m.body()
	foot := "q quit  ? help  p pause  ↑↓ scroll"
	if m.paused {
		foot = "PAUSED  p goes on  q quit"
	}
	if m.height > 0 {
		rows := max(m.height-1, 1)
		top := min(m.top, max(0, len(lines)-1))
		lines = lines[top:min(top+rows, len(lines))]
		for len(lines) < rows {
			lines = append(lines, "")
		}
	}
	if m.width > 0 {
		foot = ansi.Truncate(foot, m.width, "")
		for i, l := range lines { // the help is not cut yet
			lines[i] = ansi.Truncate(l, m.width, "…")
		}
	}
	return strings.Join(lines, "\n") + "\n" + m.style.dim.Render(foot)
}
