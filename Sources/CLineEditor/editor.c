// SPDX-License-Identifier: Apache-2.0
// Reads and edits lines by libedit; see the header.
#define _GNU_SOURCE
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "CLineEditor.h"

#define HISTORY_LINES 1000
#define PASTE_START L"\033[200~"
#define PASTE_END L"\033[201~"

struct eft_line_editor {
    EditLine *edit;
    History *history;
    FILE *output;
    char *history_file;
    const char *prompt;
    /// Characters that count as typed before what is.
    wchar_t *pending;
    size_t pending_place;
    /// Bytes of a character that is not complete.
    mbstate_t partial;
    bool was_interrupted;
};

static volatile sig_atomic_t window_changed, was_continued;

static void on_window_change(int number) {
    (void)number;
    window_changed = 1;
}

static void on_continue(int number) {
    (void)number;
    was_continued = 1;
}

static void react(eft_line_editor *editor) {
    if (window_changed) {
        window_changed = 0;
        el_resize(editor->edit);
    }
    if (was_continued) {
        // The shell has put the terminal back while the program was stopped.
        was_continued = 0;
        el_set(editor->edit, EL_PREP_TERM, 1);
        el_set(editor->edit, EL_REFRESH);
    }
}

static eft_line_editor *editor_of(EditLine *edit) {
    void *data = NULL;
    el_get(edit, EL_CLIENTDATA, &data);
    return data;
}

static char *prompt_of(EditLine *edit) { return (char *)editor_of(edit)->prompt; }

/// Hands the next character to libedit: 1 for one, 0 at the end, -1 when Ctrl-C came.
static int next_character(EditLine *edit, wchar_t *character) {
    eft_line_editor *editor = editor_of(edit);
    if (editor->pending && editor->pending[editor->pending_place]) {
        *character = editor->pending[editor->pending_place++];
        return 1;
    }
    for (;;) {
        struct pollfd source = {.fd = STDIN_FILENO, .events = POLLIN};
        // Signals interrupt poll always; one that comes just before it is seen after the time.
        int count = poll(&source, 1, 200);
        react(editor);
        if (eft_interrupts_raised()) {
            editor->was_interrupted = true;
            return -1;
        }
        if (count == 0 || (count < 0 && errno == EINTR)) continue;
        char byte;
        ssize_t got = count < 0 ? -1 : read(STDIN_FILENO, &byte, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return 0;
        size_t length = mbrtowc(character, &byte, 1, &editor->partial);
        if (length == (size_t)-2) continue;
        if (length == (size_t)-1) {
            memset(&editor->partial, 0, sizeof editor->partial);
            *character = L'?';
        }
        return 1;
    }
}

/// Puts what the terminal marks as pasted into the line, newlines and all.
static unsigned char insert_paste(EditLine *edit, int key) {
    (void)key;
    const size_t mark = wcslen(PASTE_END);
    size_t count = 0, room = 0;
    wchar_t *text = NULL, character;
    unsigned char result = CC_REFRESH;
    while (el_wgetc(edit, &character) == 1) {
        if (count + 2 > room) {
            size_t larger = room ? room * 2 : 256;
            wchar_t *grown = realloc(text, larger * sizeof *grown);
            if (!grown) break;
            text = grown;
            room = larger;
        }
        text[count++] = character == L'\r' ? L'\n' : character;
        if (count >= mark && !wmemcmp(text + count - mark, PASTE_END, mark)) {
            count -= mark;
            break;
        }
    }
    if (count) {
        text[count] = 0;
        if (el_winsertstr(edit, text) != 0) result = CC_ERROR;
    }
    free(text);
    return result;
}

static void bind_keys(EditLine *edit) {
    el_set(edit, EL_ADDFN, "eft-paste", "inserts what is pasted", insert_paste);
    el_set(edit, EL_BIND, "\\e[200~", "eft-paste", NULL);
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(edit, EL_BIND, "\\e[1;5C", "em-next-word", NULL);
    el_set(edit, EL_BIND, "\\e[1;5D", "ed-prev-word", NULL);
    el_set(edit, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
    el_set(edit, EL_BIND, "\\e[H", "ed-move-to-beg", NULL);
    el_set(edit, EL_BIND, "\\e[F", "ed-move-to-end", NULL);
}

eft_line_editor *eft_line_editor_open(const char *history_file, bool on_standard_error) {
    // Text is UTF-8 here, whatever the locale says; its words for numbers are left alone.
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    eft_line_editor *editor = calloc(1, sizeof *editor);
    if (!editor) return NULL;
    editor->prompt = "";
    editor->output = on_standard_error ? stderr : stdout;
    editor->edit = el_init("eft", stdin, editor->output, stderr);
    editor->history = history_init();
    if (!editor->edit || !editor->history) {
        eft_line_editor_close(editor);
        return NULL;
    }
    HistEvent event;
    history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    history(editor->history, &event, H_SETUNIQUE, 1);
    if (history_file) {
        editor->history_file = strdup(history_file);
        if (access(history_file, R_OK) == 0) history(editor->history, &event, H_LOAD, history_file);
    }
    el_set(editor->edit, EL_CLIENTDATA, editor);
    el_set(editor->edit, EL_SIGNAL, 0);
    el_set(editor->edit, EL_EDITOR, "emacs");
    el_set(editor->edit, EL_PROMPT, prompt_of);
    el_set(editor->edit, EL_HIST, history, editor->history);
    el_set(editor->edit, EL_GETCFN, next_character);
    bind_keys(editor->edit);
    el_source(editor->edit, NULL);
    return editor;
}

void eft_line_editor_close(eft_line_editor *editor) {
    if (!editor) return;
    if (editor->edit) el_end(editor->edit);
    if (editor->history) history_end(editor->history);
    free(editor->history_file);
    free(editor->pending);
    free(editor);
}

/// The characters by which `text` would be pasted; NULL when it cannot be.
static wchar_t *paste_of(const char *text) {
    size_t length = mbstowcs(NULL, text, 0);
    if (length == (size_t)-1) return NULL;
    size_t frame = wcslen(PASTE_START) + wcslen(PASTE_END);
    wchar_t *result = malloc((length + frame + 1) * sizeof *result);
    if (!result) return NULL;
    wcscpy(result, PASTE_START);
    mbstowcs(result + wcslen(result), text, length + 1);
    wcscat(result, PASTE_END);
    return result;
}

/// Switches the terminal's marks around what is pasted.
static void set_paste_marks(const eft_line_editor *editor, bool on) {
    const char *terminal = getenv("TERM");
    if (!terminal || !strcmp(terminal, "dumb") || !isatty(fileno(editor->output))) return;
    fputs(on ? "\033[?2004h" : "\033[?2004l", editor->output);
    fflush(editor->output);
}

eft_line_result eft_line_editor_read(
    eft_line_editor *editor, const char *prompt, const char *prefill, const char **line) {
    struct sigaction window = {.sa_handler = on_window_change}, continued = {.sa_handler = on_continue};
    struct sigaction old_window, old_continued;
    sigemptyset(&window.sa_mask);
    sigemptyset(&continued.sa_mask);
    sigaction(SIGWINCH, &window, &old_window);
    sigaction(SIGCONT, &continued, &old_continued);
    editor->prompt = prompt;
    editor->was_interrupted = false;
    free(editor->pending);
    editor->pending = prefill && *prefill ? paste_of(prefill) : NULL;
    editor->pending_place = 0;
    el_resize(editor->edit);
    set_paste_marks(editor, true);
    int count = 0;
    const char *text = el_gets(editor->edit, &count);
    set_paste_marks(editor, false);
    sigaction(SIGWINCH, &old_window, NULL);
    sigaction(SIGCONT, &old_continued, NULL);
    *line = "";
    if (editor->was_interrupted) {
        el_reset(editor->edit);
        fputs("\n", editor->output);
        fflush(editor->output);
        return EFT_LINE_INTERRUPTED;
    }
    if (!text || count <= 0) {
        fputs("\n", editor->output);
        fflush(editor->output);
        return EFT_LINE_END;
    }
    *line = text;
    return EFT_LINE_READ;
}

void eft_line_editor_remember(eft_line_editor *editor, const char *line) {
    HistEvent event;
    history(editor->history, &event, H_ENTER, line);
    if (editor->history_file) history(editor->history, &event, H_SAVE, editor->history_file);
}
