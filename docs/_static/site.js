// A page opened as a file may not read other files, so the search leaves out the extracts that it would read there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// The arrows that unfold a part of the sidebar have no words; who hears the page is told what they unfold.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary"))
    arrow.setAttribute("aria-label", `pages of ${arrow.closest("li").querySelector("a").textContent.trim()}`);
});
