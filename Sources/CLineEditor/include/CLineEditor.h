// SPDX-License-Identifier: Apache-2.0
// Lines from a terminal, edited by libedit, and Ctrl-C while a program works. libedit's functions take any number of
// arguments, which Swift cannot call; hence these few. (readline's licence would become that of the whole program.)
#ifndef EFT_CLINEEDITOR_H
#define EFT_CLINEEDITOR_H

#include <stdbool.h>

typedef struct eft_line_editor eft_line_editor;

/// What became of reading a line.
typedef enum {
    EFT_LINE_READ = 0,
    /// Ctrl-D on an empty line, or the terminal is gone.
    EFT_LINE_END = 1,
    /// Ctrl-C.
    EFT_LINE_INTERRUPTED = 2,
} eft_line_result;

/// Begins editing on the terminal of standard input.
///
/// `history_file` is read, and written with each line that is remembered; NULL keeps lines in memory alone.
/// `on_standard_error` shows prompt and line there, for an output that goes elsewhere. NULL when memory is short.
eft_line_editor *eft_line_editor_open(const char *history_file, bool on_standard_error);
void eft_line_editor_close(eft_line_editor *editor);
/// Reads a line, UTF-8 without the newline at its end; a pasted text keeps its own newlines. `prefill` stands in the line
/// already. The line is valid until the next call.
eft_line_result eft_line_editor_read(
    eft_line_editor *editor, const char *prompt, const char *prefill, const char **line);
/// Puts a line at the end of the history.
void eft_line_editor_remember(eft_line_editor *editor, const char *line);

/// Counts SIGINT and SIGTERM from now on instead of ending the program; the second one that nobody took note of ends it with
/// status 130.
void eft_interrupts_catch(void);
/// Whether one has come since the last `eft_interrupts_take`.
bool eft_interrupts_raised(void);
/// Whether a SIGTERM has come.
bool eft_interrupts_ending(void);
/// Whether a signal has come, which is forgotten.
bool eft_interrupts_take(void);
/// Whether what is typed is shown while no line is read. The program's end shows it again.
void eft_terminal_set_echo(bool shows);

#endif
