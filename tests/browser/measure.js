// Put into a framed copy of the page by the browser test: sorts, looks, and tells the frame's owner what it found.
addEventListener("load", () => setTimeout(() => {
  const column = (place) => [...document.querySelectorAll("table")[0].tBodies[0].rows].map((row) => row.children[place].textContent);
  const button = document.querySelectorAll("thead .head")[2];
  const before = column(2);
  button.click();
  const ascending = column(2);
  button.click();
  const descending = column(2);
  const wide = [...document.querySelectorAll("body *")].filter((element) => {
    if (element.parentElement.closest(".box, figure.wide")) return false;
    return element.getBoundingClientRect().right > innerWidth + 0.5;
  });
  const found = {
    innerWidth,
    scrollWidth: document.documentElement.scrollWidth,
    tooWide: wide.map((element) => element.tagName + "." + element.className),
    tableScrolls: document.querySelector(".box").scrollWidth > document.querySelector(".box").clientWidth,
    wideFigure: (({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector("figure.wide")),
    wideCaption: document.querySelector("figure.wide figcaption").getBoundingClientRect().right,
    wideGap: (({ top }) => top - Math.max(...[...document.querySelectorAll("figure:not(.wide)")].map((figure) =>
      figure.getBoundingClientRect().bottom)))(document.querySelector("figure.wide").getBoundingClientRect()),
    brokenImages: [...document.images].filter((image) => !image.naturalWidth).length,
    images: document.images.length,
    requests: performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
    before, ascending, descending,
  };
  const out = document.createElement("pre");
  out.id = "measured";
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  parent.document.body.append(out);
}, 0));
