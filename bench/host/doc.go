// Package host looks at the machine that the load comes from: what it is, what a process
// and those that it has started use of it, and which processors they may run on. It knows
// nothing of connections and loads. Linux only.
package host
