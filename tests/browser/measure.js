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
  // The part that can be asked: what it draws at first, after a choice, and under a filter.
  const asked = document.querySelector(".ask");
  const chosen = (name, value) => {
    const select = asked.querySelector(`select[name="${name}"]`);
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const picture = () => ({
    marks: asked.querySelectorAll("circle").length,
    lines: asked.querySelectorAll("polyline").length,
    series: [...asked.querySelectorAll(".legend li")].map((item) => item.textContent),
    texts: [...asked.querySelectorAll("svg text")].map((text) => text.textContent),
    command: asked.querySelector(".command").textContent,
    broken: [...asked.querySelectorAll("svg *")].filter((element) => element.outerHTML.includes("NaN")).length,
  });
  const pictures = [picture()];
  chosen("y", "uplink_bits_per_token");
  pictures.push(picture());
  chosen("y", "e2e_mean_s");
  chosen("by", "");
  chosen("filter-variant", "1");
  pictures.push(picture());
  chosen("x", "variant");
  pictures.push(picture());
  const found = {
    pictures,
    isAskHidden: asked.hidden || getComputedStyle(asked).display === "none",
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
