// Every word of the page of videos, in English and Chinese. {0}, {1} are filled in.
const WORDS = {
  en: {
    other: "中文", dark: "Dark", light: "Light", swap: "Swap A and B", play: "Play", pause: "Pause", speed: "Speed",
    zoom: "Size", fit: "fit", back: "Previous frame", forward: "Next frame", seek: "Frame", keys: "Keys",
    bicubic: "bicubic", slideLabel: "Divider between {0} on the left and {1} on the right",
    slideValue: "{0} %: left {1}, right {2}", alt: "{0}, frame {1}",
    time: "{0} s, frame {1} of {2}",
    hint: "Drag the divider, or use ← → and Home, End. Both sides always show the same frame.",
    missing: "The video cannot be played: {0}", lost: "{0} is missing or damaged; it belongs beside this page.",
    unsupported: "this browser has no decoder for H.264.",
    footer: "Made by upres {0}. Both sides are columns of one video, encoded anew at high quality (H.264): look at it, measure the originals.",
    keyList: [["← → Home End", "move the divider (slider focused)"], ["Space K", "play, pause"],
      [", .", "one frame back, on"], ["J L", "one second back, on"], ["S", "swap A and B"], ["Z", "fit, 100 %, 200 %"]],
  },
  zh: {
    other: "English", dark: "深色", light: "浅色", swap: "交换 A 和 B", play: "播放", pause: "暂停", speed: "速度",
    zoom: "大小", fit: "适应窗口", back: "上一帧", forward: "下一帧", seek: "帧", keys: "快捷键",
    bicubic: "双三次插值", slideLabel: "分隔线：左边 {0}，右边 {1}",
    slideValue: "{0} %：左边 {1}，右边 {2}", alt: "{0}，第 {1} 帧",
    time: "{0} 秒，第 {1} 帧，共 {2} 帧",
    hint: "拖动分隔线，或按 ← →、Home、End 键。两边始终是同一帧。",
    missing: "视频无法播放：{0}", lost: "{0} 缺失或已损坏；它应与此页面放在一起。",
    unsupported: "此浏览器没有 H.264 解码器。",
    footer: "由 upres {0} 生成。两边是同一视频的两栏，以高质量重新编码（H.264）：供观看，测量请用原文件。",
    keyList: [["← → Home End", "移动分隔线（滑块获得焦点时）"], ["空格 K", "播放、暂停"],
      [", .", "后退、前进一帧"], ["J L", "后退、前进一秒"], ["S", "交换 A 和 B"], ["Z", "适应窗口、100 %、200 %"]],
  },
};

function word(key, ...values) {
  const text = WORDS[state.language][key];
  return typeof text === "string" ? text.replace(/\{(\d)\}/g, (_, index) => String(values[Number(index)])) : text;
}
