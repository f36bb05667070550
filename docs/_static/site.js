// A page opened as a file may not read other files, so the search leaves out the extracts that it would read there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
