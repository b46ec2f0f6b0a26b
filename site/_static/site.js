// What scrolls sideways can be reached with the keyboard, also where a script of the theme came
// before it (tables and outputs that only overflow on a phone).
document.addEventListener("DOMContentLoaded", () => {
  const watched = ".wide, div.math, .pst-scrollable-table-container, .cell_output .output, pre";
  const mark = () => {
    for (const box of document.querySelectorAll(watched)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    }
  };
  mark();
  addEventListener("resize", mark);
});
